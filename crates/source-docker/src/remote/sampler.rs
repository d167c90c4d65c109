//! The sampler that gives what was polled, and for all other containers asks another sampler.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use collector_core::{
    Absence, Container, ContainerId, Gone, Groups, OnSignal, OnTree, Probe, Sample, Sampler,
};

use super::{StatsInventory, fill, poller::Board};

/// Numbers of containers that engines are asked for; those of all others come from another sampler, the kernel's.
pub struct StatsSampler {
    inner: Arc<dyn Sampler>,
    /// Grows only: engines that are found later have theirs, too.
    boards: RwLock<Vec<Arc<Board>>>,
}

impl fmt::Debug for StatsSampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatsSampler").finish_non_exhaustive()
    }
}

impl StatsSampler {
    /// Joins what these inventories poll to a sampler of the rest.
    #[must_use]
    pub fn new(inner: Arc<dyn Sampler>, inventories: &[Arc<StatsInventory>]) -> Self {
        let boards = inventories.iter().map(|inventory| inventory.board.clone()).collect();
        Self { inner, boards: RwLock::new(boards) }
    }

    /// Joins what another inventory polls, whose engine was found later. Before it runs.
    pub fn add(&self, inventory: &StatsInventory) {
        self.boards.write().unwrap_or_else(PoisonError::into_inner).push(inventory.board.clone());
    }

    /// Who has the numbers of a container.
    fn board(&self, id: &ContainerId) -> Option<Arc<Board>> {
        let boards = self.boards.read().unwrap_or_else(PoisonError::into_inner);
        boards.iter().find(|board| board.has(id)).cloned()
    }
}

impl Sampler for StatsSampler {
    fn open(&self, container: &Container, on_signal: OnSignal) -> Result<Box<dyn Probe>, Absence> {
        match self.board(&container.id) {
            Some(board) => Ok(Box::new(StatsProbe { board, id: container.id.clone() })),
            None => self.inner.open(container, on_signal),
        }
    }

    fn host(&self, groups: Groups, out: &mut Sample) {
        self.inner.host(groups, out);
    }

    fn root(&self, groups: Groups, out: &mut Sample) -> bool {
        self.inner.root(groups, out)
    }

    fn watch_tree(&self, on_tree: OnTree) {
        self.inner.watch_tree(on_tree);
    }

    fn kept_fds(&self) -> Option<u64> {
        self.inner.kept_fds()
    }

    fn cgroups_up(&self) -> Option<bool> {
        self.inner.cgroups_up()
    }
}

struct StatsProbe {
    board: Arc<Board>,
    id: ContainerId,
}

impl Probe for StatsProbe {
    fn sample(&mut self, groups: Groups, out: &mut Sample) -> Result<(), Gone> {
        let newest = self.board.newest(&self.id).ok_or(Gone)?;
        let is_sandboxed = newest.container.is_sandboxed();
        let reason = match newest.stats {
            Some((at, stats)) => {
                out.taken_at = Some(at);
                if Instant::now().saturating_duration_since(at) <= self.board.options.max_age {
                    fill::fill(&stats, &newest.container, is_sandboxed, groups, out);
                    return Ok(());
                }
                Absence::Stale
            }
            None if is_sandboxed => Absence::Sandboxed,
            None => newest.failed.unwrap_or(Absence::NotCollected),
        };
        fill::absent(reason, groups, out);
        Ok(())
    }
}
