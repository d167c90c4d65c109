//! An inventory whose containers are asked for their numbers, too.

use std::{sync::Arc, time::Duration};

use collector_core::{BoxFuture, Changes, Inventory, SourceCounters};

use super::poller::{self, Board};
use crate::{DockerInventory, Options};

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
#[derive(Debug)]
pub struct StatsInventory {
    inner: Arc<DockerInventory>,
    pub(super) board: Arc<Board>,
}

impl StatsInventory {
    /// An inventory of the engine that the options name. Nothing is connected yet.
    #[must_use]
    pub fn new(options: Options, stats: StatsOptions) -> Self {
        Self { inner: Arc::new(DockerInventory::new(options)), board: Arc::new(Board::new(stats)) }
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
        let shared = &self.inner.shared;
        let poll = poller::run(board.clone(), shared.options.clone(), shared.requests.clone());
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

    fn retire(&self) {
        self.inner.retire();
    }

    fn is_dormant(&self) -> bool {
        self.inner.is_dormant()
    }

    fn counters(&self) -> SourceCounters {
        self.inner.counters()
    }
}
