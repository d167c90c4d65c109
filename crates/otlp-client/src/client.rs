//! The client: hands payloads to the task that sends them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{
    Payload, Settings, SettingsError, Stats, Undelivered,
    link::{Dial, Tcp},
    queue::Queue,
    sender::{Sender, Target},
};

/// Delivers payloads to one receiver. Nothing here waits for the receiver but [`shutdown`](Self::shutdown) and, on
/// request, [`has_room`](Self::has_room).
#[derive(Debug)]
pub struct Client {
    queue: Arc<Queue>,
    stats: Arc<Stats>,
    targets: watch::Sender<Arc<Target>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Client {
    /// Reads the files of TLS and starts the task that sends. No connection is made before there is something to send.
    ///
    /// # Errors
    ///
    /// A file of TLS is missing or is not what it should be.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime with time and I/O.
    pub fn start(settings: Settings) -> Result<Self, SettingsError> {
        Self::start_with(settings, Arc::new(Tcp))
    }

    pub(crate) fn start_with(settings: Settings, dial: Arc<dyn Dial>) -> Result<Self, SettingsError> {
        let target = Arc::new(Target::new(settings)?);
        let stats = Arc::new(Stats::default());
        let queue = Arc::new(Queue::new(target.settings.queue_bytes_max, stats.clone()));
        let (targets, receiver) = watch::channel(target);
        let sender = Sender::new(queue.clone(), stats.clone(), receiver, dial);
        let task = Mutex::new(Some(tokio::spawn(sender.run())));
        Ok(Self { queue, stats, targets, task })
    }

    /// Puts a payload into the queue, and returns at once. Where there is no room the oldest are dropped, and counted.
    pub fn submit(&self, payload: Payload) {
        self.queue.push(payload);
    }

    /// Waits until a body of so many bytes has room without a drop: whoever encodes much, piece by piece, does so no
    /// faster than it is delivered. Returns at once where it never will have, or after [`shutdown`](Self::shutdown).
    pub async fn has_room(&self, body_bytes: usize) {
        self.queue.has_room(body_bytes).await;
    }

    /// From now on other settings hold: what waits goes to the new receiver, at once, and a wait that the old one
    /// asked for is over. An attempt that is under way goes on to its end.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); the old settings then stay.
    pub fn reconfigure(&self, settings: Settings) -> Result<(), SettingsError> {
        let target = Target::new(settings)?;
        self.queue.set_bytes_max(target.settings.queue_bytes_max);
        self.targets.send_replace(Arc::new(target));
        Ok(())
    }

    /// What was counted.
    #[must_use]
    pub const fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Takes nothing more, sends what waits for at most so long, and counts and returns what then is left.
    pub async fn shutdown(&self, bound: Duration) -> Undelivered {
        self.queue.close();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut task) = task
            && timeout(bound, &mut task).await.is_err()
        {
            task.abort();
            // Until it has ended, it may still count what it was at.
            let _ = task.await;
        }
        let left = self.queue.abandon();
        if left.payloads > 0 {
            let endpoint = &self.targets.borrow().settings.endpoint;
            tracing::warn!(
                "{} data points were not delivered to {endpoint} before the end: it did not take them within {bound:.1?}",
                left.points
            );
        }
        left
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
        }
    }
}
