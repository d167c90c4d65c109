//! Questions to file systems that may never answer, asked on threads of their own.
//!
//! One question at a time for each file system, so that one that hangs costs one thread; whoever asks waits a little, and not
//! at all for one that is known to hang. It is asked again once it came back.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::lock;
use crate::Absence;

/// Threads at most, those that hang included.
const THREADS_MAX: usize = 4;
/// How long an answer is waited for: less than after which the waiting thread would itself be taken for one that hangs.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long it is waited for until the question is asked: on a machine whose processors are all busy a new thread, and the turns
/// before, take their time, which says nothing of the file system.
const START_PATIENCE: Duration = Duration::from_secs(1);

/// The file systems that are being asked, and since when; `None` for those whose thread has not begun.
#[derive(Debug, Default)]
pub(super) struct Aside {
    asked: Mutex<BTreeMap<Option<u64>, Option<Instant>>>,
    /// One of them has answered.
    changed: Condvar,
    /// A file system that hangs was told of.
    told: AtomicBool,
}

/// The right to ask one file system, until it is dropped.
struct Turn {
    aside: Arc<Aside>,
    device: Option<u64>,
}

impl Turn {
    /// From now on it may be said to hang.
    fn begin(&self) {
        lock(&self.aside.asked).insert(self.device, Some(Instant::now()));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.aside.asked).remove(&self.device);
        self.aside.changed.notify_all();
    }
}

impl Aside {
    /// Asks the file system of that device about a path; [`Absence::Timeout`] if it does not answer soon, or could not be asked.
    pub(super) fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        device: Option<u64>,
        path: &Path,
        question: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Absence> {
        let until = Instant::now() + START_PATIENCE;
        let turn = self.turn(device, until)?;
        let (begin, begun) = mpsc::sync_channel(1);
        let (answer, answered) = mpsc::sync_channel(1);
        let asking =
            thread::Builder::new().name("ask-aside".into()).stack_size(256 * 1024).spawn(move || {
                turn.begin();
                // Nobody may be waiting any more, here as below.
                let _ = begin.send(());
                let said = question();
                drop(turn);
                let _ = answer.send(said);
            });
        if let Err(error) = asking {
            tracing::warn!(%error, "failed to start a thread that asks a file system: raise the limit of threads");
            return Err(Absence::NotReachable);
        }
        if begun.recv_timeout(until.saturating_duration_since(Instant::now())).is_err() {
            return Err(Absence::Timeout);
        }
        answered.recv_timeout(PATIENCE).map_err(|_| {
            if !self.told.swap(true, Relaxed) {
                tracing::warn!(
                    path = %path.display(),
                    "a file system does not answer: its numbers are absent until it does; later ones are not told of"
                );
            }
            Absence::Timeout
        })
    }

    /// Waits until nobody else asks that file system, and a thread may be had.
    fn turn(self: &Arc<Self>, device: Option<u64>, until: Instant) -> Result<Turn, Absence> {
        let mut asked = lock(&self.asked);
        loop {
            let now = Instant::now();
            let hangs = |since: &Option<Instant>| {
                since.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE)
            };
            let in_vain = match asked.get(&device) {
                None if asked.len() < THREADS_MAX => {
                    asked.insert(device, None);
                    return Ok(Turn { aside: Arc::clone(self), device });
                }
                None => asked.values().all(hangs),
                Some(since) => hangs(since),
            };
            if in_vain || now >= until {
                return Err(Absence::Timeout);
            }
            let waited = self.changed.wait_timeout(asked, until - now);
            asked = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks what is answered when the sender is dropped.
    fn hang(aside: &Arc<Aside>, device: u64) -> mpsc::Sender<()> {
        let (release, hold) = mpsc::channel::<()>();
        let said = aside.ask(Some(device), Path::new("/dead"), move || hold.recv().is_err());
        assert_eq!(said, Err(Absence::Timeout));
        release
    }

    /// Asks until there is an answer: a busy machine may take longer than it is waited for.
    fn await_answer(aside: &Arc<Aside>, device: u64) {
        while aside.ask(Some(device), Path::new("/alive"), move || device) != Ok(device) {
            thread::yield_now();
        }
    }

    #[test]
    fn one_that_hangs_costs_one_thread_until_it_comes_back() {
        let aside = Arc::new(Aside::default());
        let release = hang(&aside, 1);
        let (again, asked_again) = mpsc::channel();
        for _ in 0..3 {
            let again = again.clone();
            let said = aside.ask(Some(1), Path::new("/dead"), move || again.send(()));
            assert_eq!(said, Err(Absence::Timeout));
            await_answer(&aside, 2);
        }
        assert!(asked_again.try_recv().is_err(), "it was asked again while it hung");
        assert!(lock(&aside.asked).contains_key(&Some(1)));
        drop(release);
        await_answer(&aside, 1);
    }

    #[test]
    fn threads_that_hang_are_bounded() {
        let aside = Arc::new(Aside::default());
        let held: Vec<_> = (0..THREADS_MAX as u64).map(|device| hang(&aside, device)).collect();
        let (again, asked_again) = mpsc::channel();
        assert_eq!(aside.ask(Some(99), Path::new("/alive"), move || again.send(())), Err(Absence::Timeout));
        assert!(asked_again.try_recv().is_err(), "more threads than that");
        drop(held);
        await_answer(&aside, 99);
    }

    #[test]
    fn those_that_ask_at_once_take_turns() {
        let aside = Arc::new(Aside::default());
        let inside = Mutex::new(());
        let inside = Arc::new(inside);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let asked = |inside: Arc<Mutex<()>>| {
                        aside.ask(Some(7), Path::new("/alive"), move || inside.try_lock().is_ok())
                    };
                    loop {
                        match asked(Arc::clone(&inside)) {
                            Ok(alone) => return assert!(alone, "two threads in one file system"),
                            Err(_) => thread::yield_now(),
                        }
                    }
                });
            }
        });
    }
}
