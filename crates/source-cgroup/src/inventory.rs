//! The fallback: the containers whose names show in the tree.

use std::sync::Arc;
use std::time::Duration;

use cgroup_reader::{HostError, Roots, ScanLimits};
use collector_core::{BoxFuture, Changes, Container, Hearing, Inventory, SourceCounters};

use crate::follow::{Eyes as _, Following};
use crate::scanner::Scanner;

/// How an inventory of this crate scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The longest time between two scans; 10 s by default. The collector asks for one when the tree shows news.
    pub interval: Duration,
    /// Bounds on one scan.
    pub limits: ScanLimits,
    /// How long a fallback leaves engines to be heard before its first scan, which is for nothing where they answer; 0 by default.
    pub engines_first: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            interval: Duration::from_secs(10),
            limits: ScanLimits::default(),
            engines_first: Duration::ZERO,
        }
    }
}

/// The containers whose cgroups have processes. A fallback: heard while an engine does not answer.
#[derive(Debug)]
pub struct ScanInventory {
    roots: Roots,
    following: Following,
}

impl ScanInventory {
    /// Scans the cgroup tree under these roots.
    #[must_use]
    pub fn new(roots: Roots, options: Options) -> ScanInventory {
        ScanInventory { roots, following: Following::new(options, false) }
    }

    /// The running containers now, by id. Blocks while it scans.
    ///
    /// # Errors
    /// [`HostError`] if there is no cgroup file system under the roots.
    pub fn containers(&self) -> Result<Vec<Container>, HostError> {
        self.scanner().look(Hearing::Alone).map(|look| look.containers)
    }

    fn scanner(&self) -> Scanner {
        Scanner::new(self.roots.clone(), self.following.options.limits)
    }
}

impl Inventory for ScanInventory {
    fn name(&self) -> &str {
        "cgroup"
    }

    fn run(self: Arc<Self>, changes: Changes) -> BoxFuture<()> {
        Box::pin(async move { self.following.run(self.scanner(), changes).await })
    }

    fn relist(&self) {
        self.following.relist();
    }

    fn is_fallback(&self) -> bool {
        true
    }

    fn heard(&self, hearing: Hearing) {
        self.following.heard(hearing);
    }

    fn is_dormant(&self) -> bool {
        self.following.hearing() == Hearing::Not
    }

    fn counters(&self) -> SourceCounters {
        self.following.counters()
    }
}
