//! A machine of files, a collector over it, and containers that a script tells of.
#![allow(dead_code, clippy::allow_attributes, reason = "each test program uses its part")]

pub(crate) mod dump;
mod gpus;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use cgroup_reader::Roots;
use collector_core::{
    Absence, BoxFuture, Change, Changes, Collector, Container, ContainerId, Engine, Group, Groups, Inventory,
    KernelOptions, KernelSampler, Limits, Network, Options, Reading, Request, Sample, Snapshot, State,
    catalogue::{self, Dimension, RowId},
};
use test_support::Tree;
use tokio::sync::mpsc;

/// The hosts whose trees are in `tests/fixtures`.
pub(crate) const HOSTS: [&str; 5] = ["hybrid-6.18", "v1-5.4", "v2-5.4", "v2-6.1", "v2-6.12"];
/// The containers of each.
pub(crate) const NAMES: [&str; 3] = ["web", "side", "plain"];

/// Whatever a test awaits is there within this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory of this crate's tests.
pub(crate) fn fixture(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file)
}

/// A process that runs until it is dropped: a watch by pid needs one that is there.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    fn start() -> Self {
        let cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        Self(cat.expect("failed to start `cat`"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends it: its standard input is at its end.
    pub(crate) fn end(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("the end of `cat`");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Tells what the test tells it.
struct Script {
    changes: Mutex<Option<mpsc::UnboundedReceiver<Change>>>,
}

impl Inventory for Script {
    fn name(&self) -> &str {
        "script"
    }

    fn run(self: Arc<Self>, changes: Changes) -> BoxFuture<()> {
        Box::pin(async move {
            let told = self.changes.lock().expect("a lock").take();
            let Some(mut told) = told else { return };
            while let Some(change) = told.recv().await {
                if changes.send(change).await.is_err() {
                    return;
                }
            }
        })
    }

    fn relist(&self) {}
}

/// One machine under test.
pub(crate) struct Machine {
    pub(crate) tree: Tree,
    pub(crate) processes: Vec<Process>,
    pub(crate) containers: Vec<Container>,
    pub(crate) collector: Collector,
    changes: mpsc::UnboundedSender<Change>,
}

/// The id of a container of the trees.
pub(crate) fn id(name: &str) -> ContainerId {
    let digit = match name {
        "web" => "a",
        "side" => "b",
        _ => "c",
    };
    ContainerId::new(&digit.repeat(64))
}

fn container(name: &str, pid: u32) -> Container {
    let mut container = Container::new(id(name), Engine::Docker, State::Running);
    container.name = Some(name.into());
    container.pid = Some(pid);
    container.created_at = Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    container.started_at = Some(UNIX_EPOCH + Duration::from_secs(1_700_000_001));
    container.network = match name {
        "web" => Network::Own,
        "side" => Network::Container(id("web")),
        _ => Network::None,
    };
    container.limits =
        Limits { cpu_shares: Some(if name == "web" { 512 } else { 1024 }), ..Limits::default() };
    container
}

/// The numbers of the disk under the directory where trees are made.
pub(crate) fn disk() -> (u32, u32) {
    let device = fs::metadata(std::env::temp_dir()).expect("a directory for temporary files").dev();
    (rustix::fs::major(device), rustix::fs::minor(device))
}

impl Machine {
    /// The tree of a host with processes, not yet watched.
    pub(crate) fn unpack(host: &str) -> (Tree, Vec<Process>) {
        let processes: Vec<Process> = NAMES.iter().map(|_| Process::start()).collect();
        let pids: Vec<String> = processes.iter().map(|process| process.pid().to_string()).collect();
        let (major, minor) = disk();
        let disk = format!("{major}:{minor}");
        let words = [("WEB", &*pids[0]), ("SIDE", &*pids[1]), ("PLAIN", &*pids[2]), ("DISK", &*disk)];
        let text = fs::read_to_string(fixture(&format!("{host}.tree"))).expect("a tree");
        (Tree::unpack(&text, &words), processes)
    }

    /// Watches the containers of a host.
    pub(crate) async fn start(host: &str) -> Self {
        let (tree, processes) = Self::unpack(host);
        Self::watch(tree, processes).await
    }

    pub(crate) async fn watch(tree: Tree, processes: Vec<Process>) -> Self {
        let containers: Vec<Container> =
            NAMES.iter().zip(&processes).map(|(name, process)| container(name, process.pid())).collect();
        let mut options = KernelOptions::default();
        options.roots = Roots::under(tree.root());
        options.accelerators = Some(Arc::new(gpus::Gpus::of(&tree, &processes)));
        let sampler = Arc::new(KernelSampler::start(&options).expect("a host"));
        let (changes, told) = mpsc::unbounded_channel();
        let script = Arc::new(Script { changes: Mutex::new(Some(told)) });
        let collector = Collector::start(Options::default(), vec![script], sampler, Box::new(|_| {}));
        let machine = Self { tree, processes, containers, collector, changes };
        machine.tell(Change::Listed(machine.containers.clone()));
        machine.until("the containers are listed", |collector| collector.known().len() == NAMES.len()).await;
        machine
    }

    pub(crate) fn tell(&self, change: Change) {
        self.changes.send(change).expect("the script runs");
    }

    async fn until(&self, what: &str, done: impl FnMut(&Collector) -> bool) {
        tokio::time::timeout(PATIENCE, self.collector.wait_until(done)).await.expect(what);
    }

    pub(crate) async fn collect(&self, groups: Groups) -> Arc<Snapshot> {
        self.collector.collect(Request::new(groups).with_root(true)).await
    }

    /// Collects everything until that holds of it.
    pub(crate) async fn collect_until(&self, what: &str, done: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let asked = async {
            loop {
                let snapshot = self.collect(Groups::all()).await;
                if done(&snapshot) {
                    return snapshot;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.expect(what)
    }

    /// A collection after the background walks over the layers have ended.
    pub(crate) async fn settled(&self) -> Arc<Snapshot> {
        let walked = |snapshot: &Snapshot| {
            let of = |name: &&str| sample(snapshot, name).table(Dimension::Filesystem).absence.is_none();
            NAMES.iter().all(of)
        };
        self.collect_until("the layers are walked", walked).await
    }

    /// The directory of a container's cgroup, relative to the tree; one hierarchy of v1.
    pub(crate) fn cgroup(&self, controller: &str, name: &str) -> String {
        let pid = self.processes[NAMES.iter().position(|other| *other == name).expect("a name")].pid();
        let paths = fs::read_to_string(self.tree.path(&format!("proc/{pid}/cgroup"))).expect("a process");
        let path_of = |line: &str| {
            let mut words = line.splitn(3, ':').skip(1);
            let controllers = words.next()?;
            let is_it = controllers.split(',').any(|other| other == controller);
            is_it.then(|| (controllers.to_owned(), words.next().unwrap_or_default().to_owned()))
        };
        match paths.lines().find_map(path_of) {
            Some((controllers, path)) => format!("sys/fs/cgroup/{controllers}{path}"),
            None => {
                let path = paths.trim().trim_start_matches("0::").trim_end_matches("/container");
                format!("sys/fs/cgroup{path}")
            }
        }
    }

    /// Replaces a file of a container's cgroup.
    pub(crate) fn write(&self, controller: &str, name: &str, file: &str, content: &str) {
        self.tree.write(&format!("{}/{file}", self.cgroup(controller, name)), content);
    }
}

/// What was read of a container.
pub(crate) fn sample<'a>(snapshot: &'a Snapshot, name: &str) -> &'a Sample {
    &snapshot.container(&id(name)).expect("a container").sample
}

/// One reading of a container.
pub(crate) fn reading(snapshot: &Snapshot, name: &str, row: RowId) -> Reading {
    sample(snapshot, name).get(row)
}

/// The labels and one reading of each entry of a table.
pub(crate) fn cells(sample: &Sample, row: RowId) -> Vec<(String, Reading)> {
    let (dimension, column) = catalogue::get().column(row).expect("a column");
    let entries = &sample.table(dimension).entries;
    entries.iter().map(|entry| (entry.labels[0].to_string(), entry.cells[column])).collect()
}

/// How many containers miss something of a group for that reason.
pub(crate) fn absent(snapshot: &Snapshot, group: Group, reason: Absence) -> u64 {
    let table = snapshot.exporter.table(Dimension::Absent);
    let labels = [group.as_str(), reason.as_str()];
    let entry = table.entries.iter().find(|entry| entry.labels.iter().map(AsRef::as_ref).eq(labels));
    let (_, column) = catalogue::get().column(catalogue::ids::METRIC_ABSENT).expect("a column");
    entry.and_then(|entry| entry.cells[column].as_u64()).unwrap_or(0)
}
