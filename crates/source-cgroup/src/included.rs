//! What no engine runs: the cgroups that patterns choose, as containers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cgroup_reader::{
    FdBudget, Host, HostError, Roots, ScanLimits, TreeEvent, TreeWatch, choose_within, classify,
};
use collector_core::{
    BoxFuture, Changes, Container, ContainerId, Engine, Hearing, Inventory, SourceCounters, State,
};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::follow::{ENGINES_FIRST, Eyes, Following, Look};
use crate::include::{Include, Names};
use crate::inventory::Options;
use crate::processes::{Occupants, Place, occupants};
use crate::scanner::Run;

/// A cgroup is made before the first process moves in: a new one is looked at again and again for this time.
const MOVING_IN: Duration = Duration::from_secs(5);

/// The cgroups that an [`Include`] chooses and that have processes: systemd units, and containers that no engine knows.
///
/// It stands beside the engines: what one of them tells of the same container wins.
#[derive(Debug)]
pub struct IncludeInventory {
    roots: Roots,
    include: Arc<Include>,
    following: Following,
}

impl IncludeInventory {
    /// Scans the cgroup tree under these roots.
    #[must_use]
    pub fn new(roots: Roots, include: Include, options: Options) -> IncludeInventory {
        IncludeInventory { roots, include: Arc::new(include), following: Following::new(options, true) }
    }

    /// What is there now, by id. Blocks while it scans.
    ///
    /// # Errors
    /// [`HostError`] if there is no cgroup file system under the roots.
    pub fn containers(&self) -> Result<Vec<Container>, HostError> {
        self.looker().look(Hearing::Beside).map(|look| look.containers)
    }

    fn looker(&self) -> Looker {
        Looker {
            roots: self.roots.clone(),
            include: Arc::clone(&self.include),
            limits: self.following.options.limits,
            wake: Arc::clone(&self.following.wake),
            host: None,
            watches: false,
            watch: None,
            runs: BTreeMap::new(),
            empty: None,
        }
    }
}

impl Inventory for IncludeInventory {
    fn name(&self) -> &str {
        "cgroup_include"
    }

    fn run(self: Arc<Self>, changes: Changes) -> BoxFuture<()> {
        Box::pin(async move {
            let mut looker = self.looker();
            looker.watches = true;
            self.following.run(looker, changes).await;
        })
    }

    fn relist(&self) {
        self.following.relist();
    }

    fn is_supplement(&self) -> bool {
        true
    }

    fn counters(&self) -> SourceCounters {
        self.following.counters()
    }
}

/// What is remembered from one look to the next.
#[derive(Debug)]
struct Looker {
    roots: Roots,
    include: Arc<Include>,
    limits: ScanLimits,
    wake: Arc<Notify>,
    host: Option<Host>,
    /// Whether the tree is to be watched.
    watches: bool,
    /// Of the host that was looked at last; `None` inside where the kernel gave none.
    watch: Option<Option<TreeWatch>>,
    runs: BTreeMap<String, Run>,
    /// Cgroups without processes, and when they were first seen so. What was there at the first look is not new.
    empty: Option<BTreeMap<String, Option<Instant>>>,
}

impl Eyes for Looker {
    fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    fn look(&mut self, _hearing: Hearing) -> Result<Look, HostError> {
        let mut host = match self.host.take() {
            Some(host) => host,
            None => Host::detect(&self.roots)?,
        };
        let (mut cgroups, mut truncated) = self.choose(&host);
        if cgroups.is_empty() {
            // Perhaps the tree is mounted elsewhere by now, or not at all.
            let now = Host::detect(&self.roots)?;
            if now.layout() != host.layout() {
                self.watch = None;
            }
            host = now;
            (cgroups, truncated) = self.choose(&host);
        }
        let clock = Clock::read(&host);
        let mut look = Look { containers: Vec::new(), settling: false, truncated };
        let mut runs = BTreeMap::new();
        let mut empty = BTreeMap::new();
        for cgroup in cgroups {
            let Some(run) = self.run(&host, &clock, &cgroup) else {
                let since = self.empty_since(&cgroup);
                look.settling |= since.is_some_and(|since| since.elapsed() < MOVING_IN);
                empty.insert(cgroup, since);
                continue;
            };
            let is_young =
                || run.first.and_then(|first| clock.age(first)).is_some_and(|age| age < ENGINES_FIRST);
            if classify(&cgroup).is_some() && is_young() {
                look.settling = true;
                continue;
            }
            look.containers.push(describe(&cgroup, &run));
            runs.insert(cgroup, run);
        }
        self.leave_out_outer(&mut look.containers);
        look.containers.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        // Of an id that is there twice the first place is shown.
        look.containers.dedup_by(|b, a| a.id == b.id);
        self.runs = runs;
        self.empty = Some(empty);
        self.host = Some(host);
        Ok(look)
    }
}

impl Looker {
    /// The cgroups wanted, and whether a limit hides some. Whatever leads to them is watched before it is listed, so that
    /// nothing is made unseen in between.
    fn choose(&mut self, host: &Host) -> (Vec<String>, bool) {
        let watch = match &self.watch {
            Some(watch) => watch,
            None if self.watches => self.watch.insert(self.start_watch(host)),
            None => &None,
        };
        let chosen = choose_within(host, self.limits, |cgroup| {
            let choice = self.include.choose(cgroup);
            if choice.enter
                && let Some(watch) = watch
            {
                // Without room for it the next scan has to do.
                watch.add_parent(cgroup);
            }
            choice
        });
        (chosen.cgroups, chosen.truncated)
    }

    /// Of cgroups that nest, an open pattern means the innermost that run.
    fn leave_out_outer(&self, shown: &mut Vec<Container>) {
        let mut outer = BTreeSet::new();
        for cgroup in shown.iter().filter_map(|container| container.cgroup.as_deref()) {
            outer.extend(cgroup.match_indices('/').map(|(slash, _)| cgroup[..slash].to_owned()));
        }
        shown.retain(|container| {
            let is_outer = |cgroup: &str| outer.contains(cgroup) && self.include.is_open(cgroup);
            !container.cgroup.as_deref().is_some_and(is_outer)
        });
    }

    fn start_watch(&self, host: &Host) -> Option<TreeWatch> {
        let (include, wake) = (Arc::clone(&self.include), Arc::clone(&self.wake));
        let concerns = move |cgroup: &str| {
            let choice = include.choose(cgroup);
            choice.take || choice.enter
        };
        let watch = TreeWatch::start_everywhere(host, &FdBudget::new(TreeWatch::PARENTS_MAX), move |event| {
            let is_news = match &event {
                TreeEvent::Created { cgroup, .. } | TreeEvent::Removed { cgroup, .. } => concerns(cgroup),
                _ => true,
            };
            if is_news {
                wake.notify_one();
            }
        });
        watch
            .inspect_err(|error| {
                tracing::warn!(
                    %error,
                    "failed to watch the cgroup tree for cgroup.include: what comes and goes is seen every 10 s; \
                     raise fs.inotify.max_user_instances"
                );
            })
            .ok()
    }

    /// When the cgroup, which has no processes, was first seen; `None` if it was there at the first look.
    fn empty_since(&self, cgroup: &str) -> Option<Instant> {
        match &self.empty {
            None => None,
            Some(before) => before.get(cgroup).copied().unwrap_or_else(|| Some(Instant::now())),
        }
    }

    /// The run that a cgroup is in; `None` if it has no processes, or has gone.
    fn run(&self, host: &Host, clock: &Clock, cgroup: &str) -> Option<Run> {
        let place = Place::of(host, cgroup)?;
        let before = self.runs.get(cgroup).filter(|run| run.inode == place.inode);
        if let Some(run) = before
            && run.first.is_some_and(|first| host.is_running(first))
        {
            return Some(*run);
        }
        // Processes of a unit come and go: it is the same run for as long as the cgroup is up and not empty.
        match (occupants(host, cgroup, &place), before) {
            (Occupants::Nobody, _) => None,
            (Occupants::Unseen, Some(run)) => Some(Run { first: None, ..*run }),
            (Occupants::Unseen, None) => Some(Run { inode: place.inode, first: None, started_at: None }),
            (Occupants::Seen(process), Some(run)) => Some(Run { first: Some(process), ..*run }),
            (Occupants::Seen(process), None) => {
                let started_at = clock.started_at(process);
                Some(Run { inode: place.inode, first: Some(process), started_at })
            }
        }
    }
}

/// A container under its engine's id, anything else under its path. Its pid is left out: the end of one process is not
/// that of a unit.
fn describe(cgroup: &str, run: &Run) -> Container {
    let id = classify(cgroup).filter(|found| found.path == cgroup);
    let is_container = id.is_some();
    let id = id.map_or_else(|| ContainerId::new(cgroup), |found| ContainerId::new(&found.id));
    let mut container = Container::new(id, Engine::Kernel, State::Running);
    container.cgroup = Some(cgroup.into());
    container.started_at = run.started_at;
    if !is_container {
        let names = Names::of(cgroup);
        container.name = Some(names.name);
        container.unit = names.unit;
        container.slice = names.slice;
    }
    container
}
