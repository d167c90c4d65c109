//! The collector: joins inventories and a sampler into snapshots, when somebody asks.
//!
//! One task applies the inventories' changes to the table of containers; threads of its own read the kernel's numbers.
//! A request for a snapshot starts a collection, or joins the one that runs if that covers what it wants. What is not
//! read by the deadline is absent; a read that hangs keeps one thread busy and is not tried again until it returns.

mod account;
mod assemble;
mod budget;
mod entry;
mod own;
mod run;
mod table;
mod workers;

#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, RwLock, Weak},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::{mpsc, watch};

use crate::{
    Change, ContainerId, Groups, Inventory, Sample, Sampler, Snapshot, select::Selection,
    source::SourceStatus,
};
use table::Table;
use workers::Pool;

/// What a [`Collector`] is told at its start.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The window of `container_cpu_usage_percent`.
    pub interval: Duration,
    /// Groups that may be collected at all.
    pub groups: Groups,
    /// Which containers are watched.
    pub selection: Selection,
    /// Sampling threads; more are started, up to four times as many, while some hang.
    pub workers: usize,
    /// Containers watched at most.
    pub containers_max: usize,
    /// Containers without processes watched at most, those that ended last.
    pub stopped_max: usize,
    /// Series of containers in one group of one snapshot at most; beyond, the youngest containers have none of that group.
    pub series_per_group: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(15),
            groups: Groups::all(),
            selection: Selection::default(),
            workers: 2,
            containers_max: 20_000,
            stopped_max: 500,
            series_per_group: 1_000_000,
        }
    }
}

/// What somebody who wants a snapshot asks for.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Request {
    /// The groups wanted.
    pub groups: Groups,
    /// Whether the root cgroup is wanted too.
    pub root: bool,
    /// How old the snapshot may be.
    pub max_age: Duration,
    /// How long the answer may take: what is not read by then is absent.
    pub deadline: Duration,
}

impl Request {
    /// These groups, freshly read, within ten seconds.
    #[must_use]
    pub const fn new(groups: Groups) -> Self {
        Self { groups, root: false, max_age: Duration::ZERO, deadline: Duration::from_secs(10) }
    }

    /// Wants the root cgroup too.
    #[must_use]
    pub const fn with_root(mut self, root: bool) -> Self {
        self.root = root;
        self
    }

    /// Takes a snapshot of that age.
    #[must_use]
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Waits no longer than that.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// What a Prometheus server's `X-Prometheus-Scrape-Timeout-Seconds` leaves for the collection: the larger of half of
    /// it and that minus 0.5 s, at most 10 s.
    #[must_use]
    pub fn deadline_of_scrape(timeout_seconds: Option<f64>) -> Duration {
        let most = Duration::from_secs(10);
        match timeout_seconds {
            Some(seconds) if seconds.is_finite() && seconds > 0.0 => {
                Duration::try_from_secs_f64((seconds / 2.0).max(seconds - 0.5)).unwrap_or(most).min(most)
            }
            _ => most,
        }
    }
}

/// Adds to the exporter's own rows what the collector cannot know (HTTP, build).
pub type OwnMetrics = Box<dyn Fn(&mut Sample) + Send + Sync>;

/// Whether a source answers, for people: `/health`, the start message, `doctor`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SourceReport {
    /// The inventory's name.
    pub name: String,
    /// What it said last; `None` before its first word.
    pub status: Option<SourceStatus>,
    /// How often it began to answer, the first time included.
    pub answered: u64,
    /// How many containers of it are watched.
    pub containers: usize,
    /// Whether it has listed its containers.
    pub listed: bool,
    /// Whether it stands in for engines that do not answer: see [`Inventory::is_fallback`].
    pub fallback: bool,
    /// Whether it tells of what no engine runs: see [`Inventory::is_supplement`].
    pub supplement: bool,
    /// Whether nobody asked for it by name and it was never there: see [`Inventory::is_dormant`].
    pub dormant: bool,
}

/// A collection that runs: what it covers, and where its result will be.
struct Running {
    groups: Groups,
    root: bool,
    result: watch::Receiver<Option<Arc<Snapshot>>>,
}

/// A snapshot that others may take, too.
struct Latest {
    /// When its collection began.
    began: Instant,
    /// How many changes had been applied by then: after another one it is not shared any more.
    applied: u64,
    snapshot: Arc<Snapshot>,
}

/// What a reload of the configuration changes.
struct Live {
    interval: Duration,
    selection: Selection,
}

/// State that tasks, threads and callers share.
struct Shared {
    options: Options,
    /// What can change while the collector runs.
    live: Mutex<Live>,
    started: Instant,
    started_at: SystemTime,
    /// Grows only: an inventory's place is its number. Locked after the table where both are.
    inventories: RwLock<Vec<Arc<dyn Inventory>>>,
    /// Where inventories send to; taken from as long as the collector lives.
    changes: mpsc::Sender<(usize, Change)>,
    sampler: Arc<dyn Sampler>,
    table: Mutex<Table>,
    /// Rises at each applied change.
    applied: watch::Sender<u64>,
    pool: Pool,
    /// The last snapshot.
    latest: Mutex<Option<Latest>>,
    running: Mutex<Option<Running>>,
    totals: account::Totals,
    counts: own::Counts,
    budget: budget::Budget,
    own_metrics: OwnMetrics,
    stop: watch::Sender<bool>,
    /// How far the tests have moved the clock ahead.
    #[cfg(test)]
    ahead: Mutex<Duration>,
}

impl Shared {
    /// The time on the clock that does not go back.
    fn now(&self) -> Instant {
        #[cfg(test)]
        return Instant::now() + *lock(&self.ahead);
        #[cfg(not(test))]
        Instant::now()
    }

    /// The inventories of now, by number.
    fn inventories(&self) -> Vec<Arc<dyn Inventory>> {
        self.inventories.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Takes another inventory, unless one has its name or there are [`INVENTORIES_MAX`].
    fn add(self: &Arc<Self>, inventory: Arc<dyn Inventory>) -> bool {
        let mut table = lock(&self.table);
        let mut inventories = self.inventories.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_taken = inventories.iter().any(|other| other.name() == inventory.name());
        if is_taken || inventories.len() >= INVENTORIES_MAX {
            return false;
        }
        let source = inventories.len();
        inventories.push(Arc::clone(&inventory));
        table.add(inventory.as_ref());
        drop((inventories, table));
        run::start(self, source, inventory);
        true
    }

    /// Waits until the last handle is gone. A flag and not a call: whoever is busy just then finds it later.
    async fn stopped(&self) {
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }
}

/// Joins inventories and a sampler. A handle: clones are the same collector, which ends with the last of them.
#[derive(Clone)]
pub struct Collector {
    shared: Arc<Shared>,
    _end: Arc<End>,
}

/// Ends the tasks when the last handle goes.
struct End(Weak<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.stop.send_replace(true);
            shared.pool.close();
        }
    }
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Collector {
    /// Starts the inventories and the sampling threads. Must be called on a tokio runtime.
    #[must_use]
    pub fn start(
        options: Options,
        inventories: Vec<Arc<dyn Inventory>>,
        sampler: Arc<dyn Sampler>,
        own_metrics: OwnMetrics,
    ) -> Self {
        let table = Table::new(&inventories);
        let (changes, received) = mpsc::channel(run::CHANGES_WAITING);
        let live = Live { interval: options.interval, selection: options.selection.clone() };
        let shared = Arc::new(Shared {
            live: Mutex::new(live),
            pool: Pool::new(options.workers),
            budget: budget::Budget::new(options.series_per_group),
            options,
            started: Instant::now(),
            started_at: SystemTime::now(),
            inventories: RwLock::new(inventories),
            changes,
            sampler,
            table: Mutex::new(table),
            applied: watch::Sender::new(0),
            latest: Mutex::new(None),
            running: Mutex::new(None),
            totals: account::Totals::default(),
            counts: own::Counts::default(),
            own_metrics,
            stop: watch::Sender::new(false),
            #[cfg(test)]
            ahead: Mutex::default(),
        });
        run::spawn(&shared, received);
        Self { _end: Arc::new(End(Arc::downgrade(&shared))), shared }
    }

    /// A snapshot that covers the request. Never fails: what could not be read in time is absent.
    pub async fn collect(&self, request: Request) -> Arc<Snapshot> {
        self.shared.collect(request).await
    }

    /// A means to add inventories while the collector runs.
    #[must_use]
    pub fn additions(&self) -> Additions {
        Additions { shared: Arc::downgrade(&self.shared), changes: self.shared.changes.clone() }
    }

    /// The groups that may be collected.
    #[must_use]
    pub fn groups(&self) -> Groups {
        self.shared.options.groups
    }

    /// What the sources say.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceReport> {
        lock(&self.shared.table).reports(&self.shared.inventories())
    }

    /// Changes the window of the CPU percentage.
    pub fn set_interval(&self, interval: Duration) {
        let mut live = lock(&self.shared.live);
        live.interval = interval;
        drop(live);
        for entry in lock(&self.shared.table).entries() {
            entry.set_interval(interval);
        }
    }

    /// Changes which containers are watched; those that become wanted appear with the list that this asks for.
    pub fn set_selection(&self, selection: Selection) {
        lock(&self.shared.live).selection = selection;
        lock(&self.shared.table).reselect(&self.shared);
        for inventory in self.shared.inventories() {
            inventory.relist();
        }
        self.shared.applied.send_modify(|applied| *applied += 1);
    }

    /// Waits until the table of containers satisfies `done`, which is asked again after each change. For tests and
    /// for whoever wants the first list before the first page.
    pub async fn wait_until(&self, mut done: impl FnMut(&Self) -> bool) {
        let mut applied = self.shared.applied.subscribe();
        while !done(self) {
            if applied.changed().await.is_err() {
                return;
            }
        }
    }

    /// The containers known now, by id, without reading any number.
    #[must_use]
    pub fn known(&self) -> Vec<Arc<crate::Container>> {
        lock(&self.shared.table).containers()
    }

    /// Whether that container is known.
    #[must_use]
    pub fn knows(&self, id: &ContainerId) -> bool {
        lock(&self.shared.table).get(id).is_some()
    }
}

/// Adds inventories to a running collector, for whoever finds engines while it runs. It does not keep the collector
/// alive.
#[derive(Clone)]
pub struct Additions {
    shared: Weak<Shared>,
    changes: mpsc::Sender<(usize, Change)>,
}

impl std::fmt::Debug for Additions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Additions").finish_non_exhaustive()
    }
}

impl Additions {
    /// Starts an inventory as [`Collector::start`] does. False if one of its name is there already, if there are
    /// too many, or if the collector has ended. Must be called on a tokio runtime.
    #[must_use = "an inventory that is not taken never runs"]
    pub fn add(&self, inventory: Arc<dyn Inventory>) -> bool {
        // What a thread still reads for one that has ended would take it, and nobody would hear it.
        !self.changes.is_closed() && self.shared.upgrade().is_some_and(|shared| shared.add(inventory))
    }

    /// Waits until the collector has ended.
    pub async fn closed(&self) {
        self.changes.closed().await;
    }
}

/// Inventories of one collector at most: each keeps connections and a task.
const INVENTORIES_MAX: usize = 256;

/// Locks what no panic can leave half-changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
