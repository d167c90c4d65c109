//! For senders that have a queue of their own: one payload at a time, and its outcome.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use crate::{
    DropReason, Payload, Settings, SettingsError, Stats,
    link::{Dial, Tcp},
    queue::{PAYLOAD_BYTES_MAX, Queue},
    sender::{Sender, Target},
};

/// Delivers payloads to one receiver, with retries and everything else that a [`Client`](crate::Client) does but its queue.
pub struct Courier {
    sender: Mutex<Sender>,
    targets: watch::Sender<Arc<Target>>,
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Courier").field("target", &*self.targets.borrow()).finish_non_exhaustive()
    }
}

impl Courier {
    /// Reads the files of TLS. No connection is made before there is something to send.
    ///
    /// # Errors
    ///
    /// A file of TLS is missing or is not what it should be.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        Self::with(settings, Arc::new(Tcp))
    }

    pub(crate) fn with(settings: Settings, dial: Arc<dyn Dial>) -> Result<Self, SettingsError> {
        let target = Arc::new(Target::new(settings)?);
        let stats = Arc::new(Stats::default());
        let queue = Arc::new(Queue::new(0, stats.clone()));
        let (targets, receiver) = watch::channel(target);
        Ok(Self { sender: Mutex::new(Sender::new(queue, stats, receiver, dial)), targets })
    }

    /// From now on other settings hold, also for a payload that is between two tries.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); the old settings then stay.
    pub fn reconfigure(&self, settings: Settings) -> Result<(), SettingsError> {
        self.targets.send_replace(Arc::new(Target::new(settings)?));
        Ok(())
    }

    /// Delivers a payload, or gives it up: how many of its points the receiver took. A second payload waits for the first.
    /// On a Tokio runtime with time and I/O.
    ///
    /// # Errors
    ///
    /// Why nothing of it was delivered; where the receiver has asked for a longer pause than a payload may be tried for,
    /// that is so at once.
    pub async fn deliver(&self, payload: &Payload) -> Result<usize, DropReason> {
        if payload.body.len() > PAYLOAD_BYTES_MAX {
            return Err(DropReason::TooLarge);
        }
        self.sender.lock().await.deliver(payload).await
    }
}
