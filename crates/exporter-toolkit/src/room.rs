//! Who has to go when a limit is reached and somebody else comes: the peer that has kept the server waiting longest.
//!
//! Without this, a hundred connections that say nothing, or a handful of readers that read nothing, would keep every
//! scraper out until their deadlines.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::Refusal;
use crate::clock::Clock;
use crate::stats::Stats;

/// Nobody has to go who has kept the server waiting for less: a request may still be under way.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// How long a newcomer waits for the place of one that was told to go.
const HANDOVER: Duration = Duration::from_secs(1);

/// The open connections of a server.
#[derive(Debug, Default)]
pub(crate) struct Room {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    clocks: BTreeMap<u64, Arc<Clock>>,
    next: u64,
}

impl Room {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection until the answer is dropped.
    pub(crate) fn enter(self: &Arc<Self>, clock: Arc<Clock>) -> Stay {
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        open.clocks.insert(number, clock);
        Stay { room: Arc::clone(self), number }
    }

    /// Tells one to go: with `of_expensive`, one that takes the response of an expensive route. `false` if nobody has
    /// to.
    pub(crate) fn make(&self, stats: &Stats, of_expensive: bool) -> bool {
        let now = Instant::now();
        let open = self.open();
        let waited = |clock: &Arc<Clock>| clock.waited(now, of_expensive).filter(|time| *time >= LEAST_WAIT);
        let longest = open.clocks.values().filter_map(|clock| Some((waited(clock)?, clock)));
        let Some((_, clock)) = longest.max_by_key(|(time, _)| *time) else { return false };
        clock.displace();
        stats.refused(Refusal::Displaced);
        true
    }
}

/// A place of one that was told to go, once it is free.
pub(crate) async fn handed_over(places: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    tokio::time::timeout(HANDOVER, places.acquire_owned()).await.ok()?.ok()
}

/// A connection's place in the [`Room`].
#[derive(Debug)]
pub(crate) struct Stay {
    room: Arc<Room>,
    number: u64,
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.room.open().clocks.remove(&self.number);
    }
}
