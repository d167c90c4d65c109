//! The collector, with an inventory and a sampler that the test plays.

mod collecting;
mod counting;
mod hanging;
mod lifecycle;
mod sources;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::{Notify, watch};

use super::{Collector, Options, Request, lock};
use crate::{
    Absence, BoxFuture, Change, Changes, Container, ContainerId, ContainerSample, Engine, Gone, Group,
    Groups, Hearing, Inventory, OnSignal, OnTree, Probe, Reading, Sample, Sampler, Signal, Snapshot, State,
    Value,
    catalogue::{self, RowId, ids},
    source::TreeChange,
};

/// An engine that says what the test makes it say.
struct Played {
    name: &'static str,
    fallback: bool,
    changes: watch::Sender<Option<Changes>>,
    relists: watch::Sender<u64>,
    /// What it was told last, if anything.
    hearing: Mutex<Option<Hearing>>,
    dormant: AtomicBool,
    end: Notify,
}

impl Played {
    fn new(name: &'static str, fallback: bool) -> Arc<Self> {
        let (changes, relists) = (watch::Sender::new(None), watch::Sender::new(0));
        Arc::new(Self {
            name,
            fallback,
            changes,
            relists,
            hearing: Mutex::default(),
            dormant: AtomicBool::new(false),
            end: Notify::new(),
        })
    }
}

impl Inventory for Played {
    fn name(&self) -> &str {
        self.name
    }

    fn run(self: Arc<Self>, changes: Changes) -> BoxFuture<()> {
        self.changes.send_replace(Some(changes.clone()));
        Box::pin(async move {
            tokio::select! {
                () = changes.closed() => {}
                () = self.end.notified() => {}
            }
            self.changes.send_replace(None);
        })
    }

    fn relist(&self) {
        self.relists.send_modify(|relists| *relists += 1);
    }

    fn is_fallback(&self) -> bool {
        self.fallback
    }

    fn is_supplement(&self) -> bool {
        self.name == "supplement"
    }

    fn heard(&self, hearing: Hearing) {
        *lock(&self.hearing) = Some(hearing);
    }

    fn is_dormant(&self) -> bool {
        self.dormant.load(SeqCst)
    }
}

/// What holds a read back until the test lets it go.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut open = lock(&self.open);
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
    }

    fn open(&self) {
        *lock(&self.open) = true;
        self.opened.notify_all();
    }
}

/// What the kernel would say of a container.
#[derive(Clone, Default)]
struct Numbers {
    cpu_seconds: f64,
    /// The kernel's count; `None` on kernels that have none.
    oom_kills: Option<u64>,
    /// Its parent's.
    around: Option<u64>,
    gone: bool,
    /// Nanoseconds that its threads have waited since it was opened.
    waited: Option<u64>,
    /// Only its CPU time can still be read.
    memory_gone: bool,
    /// Why it cannot be opened.
    closed: Option<Absence>,
    gate: Option<Arc<Gate>>,
}

#[derive(Default)]
struct Seen {
    numbers: BTreeMap<ContainerId, Numbers>,
    signals: BTreeMap<ContainerId, OnSignal>,
    opens: BTreeMap<ContainerId, u64>,
    host_gate: Option<Arc<Gate>>,
    on_tree: Option<OnTree>,
}

/// A kernel that says what the test makes it say.
struct Kernel {
    seen: Mutex<Seen>,
    /// Reads that have begun, by container; the host's too.
    reads: watch::Sender<BTreeMap<String, u64>>,
    /// Probes that exist.
    probes: AtomicU64,
}

struct PlayedProbe(Arc<Kernel>, ContainerId);

impl Kernel {
    fn count_read(&self, what: &str) {
        self.reads.send_modify(|reads| *reads.entry(what.to_owned()).or_default() += 1);
    }

    fn reads(&self, what: &str) -> u64 {
        self.reads.borrow().get(what).copied().unwrap_or(0)
    }
}

struct PlayedSampler(Arc<Kernel>);

impl Sampler for PlayedSampler {
    fn open(&self, container: &Container, on_signal: OnSignal) -> Result<Box<dyn Probe>, Absence> {
        let mut seen = lock(&self.0.seen);
        *seen.opens.entry(container.id.clone()).or_default() += 1;
        if let Some(reason) = seen.numbers.get(&container.id).and_then(|numbers| numbers.closed) {
            return Err(reason);
        }
        seen.signals.insert(container.id.clone(), on_signal);
        self.0.probes.fetch_add(1, SeqCst);
        Ok(Box::new(PlayedProbe(Arc::clone(&self.0), container.id.clone())))
    }

    fn host(&self, _groups: Groups, out: &mut Sample) {
        let gate = lock(&self.0.seen).host_gate.clone();
        self.0.count_read("host");
        if let Some(gate) = gate {
            gate.pass();
        }
        out.set(ids::HOST_CPU_WAITING, Reading::Value(Value::Nanos(1)));
    }

    fn root(&self, _groups: Groups, out: &mut Sample) -> bool {
        out.set(ids::MEMORY_USAGE, Reading::int(1000));
        out.set(ids::MEMORY_INACTIVE_FILE, Reading::int(400));
        true
    }

    fn watch_tree(&self, on_tree: OnTree) {
        lock(&self.0.seen).on_tree = Some(on_tree);
    }

    fn kept_fds(&self) -> Option<u64> {
        Some(77)
    }
}

impl Probe for PlayedProbe {
    fn sample(&mut self, groups: Groups, out: &mut Sample) -> Result<(), Gone> {
        let numbers = lock(&self.0.seen).numbers.get(&self.1).cloned().unwrap_or_default();
        self.0.count_read(self.1.as_str());
        if let Some(gate) = &numbers.gate {
            gate.pass();
        }
        if numbers.gone {
            return Err(Gone);
        }
        if groups.has(Group::Cpu) {
            out.set(ids::CPU_USAGE, Reading::Value(Value::Nanos((numbers.cpu_seconds * 1e9) as u64)));
            // Nobody is shown this row.
            out.set(ids::CPU_SHARES, Reading::Absent(Absence::NoSourceOnVersion));
        }
        if numbers.memory_gone {
            out.set(ids::MEMORY_EVENTS_OOM_KILL, Reading::Absent(Absence::NotRunning));
            return Err(Gone);
        }
        if let Some(waited) = numbers.waited.filter(|_| groups.has(Group::Processes)) {
            out.set(ids::CPU_SCHEDSTAT_RUNQUEUE, Reading::Value(Value::Nanos(waited)));
        }
        if groups.has(Group::Memory) {
            for (row, value) in
                [(ids::MEMORY_USAGE, 1000), (ids::MEMORY_INACTIVE_FILE, 400), (ids::MEMORY_LIMIT, 6000)]
            {
                out.set(row, Reading::int(value));
            }
            let kills = numbers.oom_kills.map_or(Reading::Absent(Absence::NoKey), Reading::int);
            out.set(ids::MEMORY_EVENTS_OOM_KILL, kills);
        }
        Ok(())
    }

    fn oom_kills_around(&self) -> Option<u64> {
        lock(&self.0.seen).numbers.get(&self.1).and_then(|numbers| numbers.around)
    }
}

impl Drop for PlayedProbe {
    fn drop(&mut self) {
        self.0.probes.fetch_sub(1, SeqCst);
    }
}

/// A collector with all that it talks to.
struct Rig {
    collector: Collector,
    inventories: Vec<Arc<Played>>,
    kernel: Arc<Kernel>,
}

impl Rig {
    fn new() -> Self {
        Self::with(Options::default(), &[("docker", false)])
    }

    fn with(options: Options, inventories: &[(&'static str, bool)]) -> Self {
        let inventories: Vec<_> =
            inventories.iter().map(|(name, fallback)| Played::new(name, *fallback)).collect();
        let kernel = Arc::new(Kernel {
            seen: Mutex::default(),
            reads: watch::Sender::new(BTreeMap::new()),
            probes: AtomicU64::new(0),
        });
        let dynamic = inventories.iter().map(|inventory| Arc::clone(inventory) as Arc<dyn Inventory>);
        let collector = Collector::start(
            options,
            dynamic.collect(),
            Arc::new(PlayedSampler(Arc::clone(&kernel))),
            Box::new(|_| {}),
        );
        Self { collector, inventories, kernel }
    }

    /// Has an inventory say this, and waits until it is applied.
    async fn tell_as(&self, inventory: usize, change: Change) {
        let mut running = self.inventories[inventory].changes.subscribe();
        let changes = running.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        let mut applied = self.collector.shared.applied.subscribe();
        changes.send(change).await.unwrap();
        applied.changed().await.unwrap();
    }

    async fn tell(&self, change: Change) {
        self.tell_as(0, change).await;
    }

    async fn upsert(&self, container: &Container) {
        self.tell(Change::Upsert(Box::new(container.clone()))).await;
    }

    /// Tells of a container that runs, and waits until it was read for the first time.
    async fn start(&self, container: &Container) {
        assert!(container.state.has_processes());
        let before = self.kernel.reads(container.id.as_str());
        self.upsert(container).await;
        self.read_more_than(container.id.as_str(), before).await;
        // Whoever reads after it finds what the first read counted.
        self.collect(Groups::NONE.with(Group::Cpu)).await;
    }

    async fn read_more_than(&self, what: &str, reads: u64) {
        let mut seen = self.kernel.reads.subscribe();
        seen.wait_for(|all| all.get(what).is_some_and(|now| *now > reads)).await.unwrap();
    }

    fn set(&self, id: &str, change: impl FnOnce(&mut Numbers)) {
        change(lock(&self.kernel.seen).numbers.entry(ContainerId::new(id)).or_default());
    }

    /// The kernel's word to the collector, on the kernel's thread.
    fn signal(&self, id: &str, signal: Signal) {
        let on_signal = lock(&self.kernel.seen).signals[&ContainerId::new(id)].clone();
        on_signal(signal);
    }

    fn tree(&self, change: TreeChange) {
        let on_tree = lock(&self.kernel.seen).on_tree.clone().unwrap();
        on_tree(change);
    }

    fn pass_time(&self, by: Duration) {
        *lock(&self.collector.shared.ahead) += by;
    }

    fn opens(&self, id: &str) -> u64 {
        lock(&self.kernel.seen).opens.get(&ContainerId::new(id)).copied().unwrap_or(0)
    }

    async fn collect(&self, groups: Groups) -> Arc<Snapshot> {
        self.collector.collect(Request::new(groups)).await
    }

    async fn snapshot(&self) -> Arc<Snapshot> {
        self.collect(Groups::all()).await
    }

    /// Runs that ended, by outcome, those that are 0 left out.
    async fn exits(&self) -> Vec<(String, u64)> {
        let snapshot = self.snapshot().await;
        nonzero(&snapshot.host, ids::HOST_EXITS)
    }

    async fn host(&self, row: RowId) -> u64 {
        self.snapshot().await.host.get(row).as_u64().unwrap()
    }

    async fn own(&self, row: RowId) -> u64 {
        self.snapshot().await.exporter.get(row).as_u64().unwrap()
    }

    async fn of(&self, id: &str, row: RowId) -> Reading {
        let snapshot = self.snapshot().await;
        shown(&snapshot, id).sample.get(row)
    }
}

fn shown<'a>(snapshot: &'a Snapshot, id: &str) -> &'a ContainerSample {
    snapshot.container(&ContainerId::new(id)).unwrap_or_else(|| panic!("no container {id}"))
}

/// A row of a table, by its labels joined, those that are 0 left out.
fn nonzero(sample: &Sample, row: RowId) -> Vec<(String, u64)> {
    let (dimension, column) = catalogue::get().column(row).unwrap();
    let entries = sample.table(dimension).entries.iter();
    entries
        .filter_map(|entry| Some((entry.labels.join(" "), entry.cells[column].as_u64()?)))
        .filter(|(_, value)| *value > 0)
        .collect()
}

fn named(pairs: &[(&str, u64)]) -> Vec<(String, u64)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

fn container(id: &str, state: State) -> Container {
    Container::new(ContainerId::new(id), Engine::Docker, state)
}

/// One whose run `n` began under the collector's eyes.
fn running(id: &str, n: u64) -> Container {
    let mut container = container(id, State::Running);
    container.started_at = Some(SystemTime::now() + Duration::from_secs(1000 * n));
    container.restart_count = Some(0);
    container
}

/// One that ran before the collector began.
fn running_before(id: &str) -> Container {
    let mut container = running(id, 1);
    container.started_at = Some(UNIX_EPOCH + Duration::from_secs(1_000));
    container
}

/// The same after the end of its run.
fn ended(run: &Container, exit_code: i64) -> Container {
    let mut container = run.clone();
    container.state = State::Exited;
    container.exit_code = Some(exit_code);
    container.finished_at = container.started_at.map(|at| at + Duration::from_secs(1));
    container
}
