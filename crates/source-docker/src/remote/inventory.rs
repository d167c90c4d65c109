//! An inventory whose containers are asked for their numbers, too.

use std::{fmt, sync::Arc, time::Duration};

use collector_core::{BoxFuture, Changes, Groups, Hearing, Inventory, Sample, SourceCounters};

use super::poller::{self, Board};
use crate::{DockerInventory, Options, client::RequestCounts};

/// Which containers of an engine are asked for their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Polled {
    /// All: the engine's kernel is another machine's.
    All,
    /// Those of sandboxed runtimes (`HostConfig.Runtime` runsc, kata): their cgroup on the host holds zeros.
    Sandboxed,
}

/// How numbers are asked for. Made by [`StatsOptions::new`] and the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatsOptions {
    /// Whose.
    pub polled: Polled,
    /// Least time between two requests for one container.
    pub interval: Duration,
    /// Older numbers are not shown.
    pub max_age: Duration,
    /// Time for one answer, body included.
    pub timeout: Duration,
}

impl StatsOptions {
    /// Asks for a container every 15 s, shows numbers for up to a minute, and waits 10 s for an answer.
    #[must_use]
    pub const fn new(polled: Polled) -> Self {
        Self {
            polled,
            interval: Duration::from_secs(15),
            max_age: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
        }
    }
}

/// The containers of one engine, with a background task that asks the engine for their numbers
/// (`GET /containers/{id}/stats`). They are had through a [`StatsSampler`](crate::StatsSampler).
pub struct StatsInventory {
    inner: Arc<dyn Inventory>,
    options: Options,
    requests: Arc<RequestCounts>,
    pub(super) board: Arc<Board>,
}

impl fmt::Debug for StatsInventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatsInventory").field("options", &self.options).finish_non_exhaustive()
    }
}

impl StatsInventory {
    /// An inventory of the engine that the options name. Nothing is connected yet.
    #[must_use]
    pub fn new(options: Options, stats: StatsOptions) -> Self {
        let inner = DockerInventory::new(options);
        let (options, requests) = (inner.shared.options.clone(), inner.shared.requests.clone());
        Self { inner: Arc::new(inner), options, requests, board: Arc::new(Board::new(stats)) }
    }
}

impl Inventory for StatsInventory {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn run(self: Arc<Self>, changes: Changes) -> BoxFuture<()> {
        let (told, mut received) = Changes::channel(16);
        let follow = self.inner.clone().run(told);
        let board = self.board.clone();
        let poll = poller::run(board.clone(), self.options.clone(), self.requests.clone());
        Box::pin(async move {
            let forward = async {
                while let Some((_, change)) = received.recv().await {
                    // First, so that whoever opens the container finds it here.
                    board.note(&change);
                    if changes.send(change).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = forward => {}
                () = follow => {}
                () = poll => {}
                () = changes.closed() => {}
            }
        })
    }

    fn relist(&self) {
        self.inner.relist();
    }

    fn is_fallback(&self) -> bool {
        self.inner.is_fallback()
    }

    fn is_supplement(&self) -> bool {
        self.inner.is_supplement()
    }

    fn heard(&self, hearing: Hearing) {
        self.inner.heard(hearing);
    }

    fn is_dormant(&self) -> bool {
        self.inner.is_dormant()
    }

    fn holdings(&self, groups: Groups, out: &mut Sample) {
        self.inner.holdings(groups, out);
    }

    fn counters(&self) -> SourceCounters {
        self.inner.counters()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use collector_core::Absence;

    use super::*;

    /// Answers nothing as the trait does by itself.
    #[derive(Default)]
    struct Odd {
        asked: AtomicU32,
    }

    impl Inventory for Odd {
        fn name(&self) -> &str {
            "odd"
        }

        fn run(self: Arc<Self>, _: Changes) -> BoxFuture<()> {
            Box::pin(async {})
        }

        fn relist(&self) {
            self.asked.fetch_add(1, Relaxed);
        }

        fn is_fallback(&self) -> bool {
            true
        }

        fn is_supplement(&self) -> bool {
            true
        }

        fn heard(&self, _: Hearing) {
            self.asked.fetch_add(10, Relaxed);
        }

        fn is_dormant(&self) -> bool {
            true
        }

        fn holdings(&self, _: Groups, _: &mut Sample) {
            self.asked.fetch_add(100, Relaxed);
        }

        fn counters(&self) -> SourceCounters {
            let mut counters = SourceCounters::default();
            counters.lists = 7;
            counters
        }
    }

    #[test]
    fn it_says_of_itself_what_the_inventory_says_that_it_follows() {
        let odd = Arc::new(Odd::default());
        let mut inventory = StatsInventory::new(Options::default(), StatsOptions::new(Polled::All));
        assert!(!inventory.is_fallback() && !inventory.is_supplement() && !inventory.is_dormant());
        inventory.inner = odd.clone();
        assert_eq!(inventory.name(), "odd");
        assert!(inventory.is_fallback() && inventory.is_supplement() && inventory.is_dormant());
        assert_eq!(inventory.counters().lists, 7);
        inventory.relist();
        inventory.heard(Hearing::Not);
        inventory.holdings(Groups::all(), &mut Sample::absent(Absence::NotCollected));
        assert_eq!(odd.asked.load(Relaxed), 111);
    }
}
