//! The sampler that reads cgroups and `/proc`: what containers use, as the kernel counts it.
//!
//! [`KernelSampler`] compiles the catalogue's kernel sources into one read plan for each set of groups. A probe is one
//! container's open files; everything that needs more than its own files (limits of ancestors, the writable layer, who owns
//! a network namespace) is kept here and shared by all probes.

mod accelerators;
#[cfg(test)]
mod alone;
mod aside;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod layer;
mod limits;
mod machine;
mod mounted;
mod mounts;
mod network;
mod places;
mod plan;
mod probe;
mod processes;
mod reason;
mod root;
mod schedstat;
mod sockets;
mod tree;
mod walk;

use std::{
    collections::HashMap,
    fmt::Write as _,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use cgroup_reader::{
    CgroupPath, Controller, Directories, ExitSignal, ExitWatch, FdBudget, Found, Handle, Host, HostError,
    Namespace, Process, Roots, TreeEvent, TreeWatch, WatchError, classify, find_by_id, scan,
};

use crate::{
    Absence, Accelerators, Container, ContainerId, Group, Groups, OnSignal, OnTree, Probe, Sample, Sampler,
    Signal, source::TreeChange,
};
pub use mounted::MountedSampler;
use plan::Plans;
use probe::{KernelProbe, Watch};

/// What a [`KernelSampler`] is told at its start.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KernelOptions {
    /// Where cgroups and `/proc` are.
    pub roots: Roots,
    /// File descriptors it may keep; `None` takes the process's limit.
    pub fds_max: Option<usize>,
    /// Writable layers are walked at most this often.
    pub layer_interval: Duration,
    /// Who tells of GPUs; `None` where the program is built without.
    pub accelerators: Option<Arc<dyn Accelerators>>,
}

impl Default for KernelOptions {
    fn default() -> Self {
        Self {
            roots: Roots::default(),
            fds_max: None,
            layer_interval: Duration::from_secs(600),
            accelerators: None,
        }
    }
}

/// Why the kernel's numbers cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// No cgroup file system.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A thread or descriptor could not be had.
    #[error("failed to start watching cgroups: {0}: raise the limits of threads and open files")]
    Watch(#[from] io::Error),
}

/// Reads cgroup v1, hybrid and v2 hosts.
#[derive(Debug)]
pub struct KernelSampler {
    shared: Arc<Shared>,
    tree: Mutex<Option<Arc<TreeWatch>>>,
    scanned: Mutex<Option<Scanned>>,
}

/// Paths by container id, and when the tree was walked for them.
type Scanned = (Instant, HashMap<String, String>);

/// Containers that are opened within this time share one walk: without usable pids each would take its own, over all others.
const SCAN_FRESH: Duration = Duration::from_secs(1);

/// What probes share.
struct Shared {
    host: Host,
    budget: Arc<FdBudget>,
    plans: Plans,
    exit: ExitWatch,
    signals: Arc<Signals>,
    next_token: AtomicU64,
    namespaces: network::Namespaces,
    limits: limits::Ancestors,
    file_systems: layer::FileSystems,
    walker: walk::Walker,
    devices: probe::Devices,
    names: probe::Names,
    machine: machine::Machine,
    allowance: processes::Allowance,
    accelerators: accelerators::Source,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Whom to tell of which watch.
#[derive(Default)]
struct Signals(Mutex<HashMap<u64, OnSignal>>);

impl Signals {
    fn set(&self, token: u64, on_signal: OnSignal) {
        lock(&self.0).insert(token, on_signal);
    }

    fn forget(&self, token: u64) {
        lock(&self.0).remove(&token);
    }

    fn tell(&self, token: u64, signal: ExitSignal) {
        // Called without the lock: who is told may drop its probe.
        let on_signal = lock(&self.0).get(&token).cloned();
        if let Some(on_signal) = on_signal {
            match signal {
                ExitSignal::MemoryEvent => on_signal(Signal::MemoryEvent),
                _ => on_signal(Signal::Exited),
            }
        }
    }
}

impl KernelSampler {
    /// Finds the cgroup mounts and starts the watching threads.
    ///
    /// # Errors
    ///
    /// There is no cgroup file system, or the kernel gives no more threads or descriptors.
    pub fn start(options: &KernelOptions) -> Result<Self, KernelError> {
        let host = Host::detect(&options.roots)?;
        let budget = options.fds_max.map_or_else(FdBudget::from_limit, FdBudget::new);
        let signals = Arc::new(Signals::default());
        let exit = {
            let signals = Arc::clone(&signals);
            ExitWatch::start(&host, &budget, move |token, signal| signals.tell(token, signal))?
        };
        let shared = Shared {
            plans: Plans::new(&host),
            exit,
            signals,
            next_token: AtomicU64::new(1),
            namespaces: network::Namespaces::default(),
            limits: limits::Ancestors::default(),
            file_systems: layer::FileSystems::new(&options.roots),
            walker: walk::Walker::start(options.layer_interval)?,
            devices: probe::Devices::new(&host),
            names: probe::Names::default(),
            machine: machine::Machine::new(&options.roots),
            allowance: processes::Allowance::default(),
            accelerators: accelerators::Source::new(options.accelerators.clone(), &host),
            host,
            budget,
        };
        Ok(Self { shared: Arc::new(shared), tree: Mutex::new(None), scanned: Mutex::new(None) })
    }

    /// The host as it was found.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.shared.host
    }

    /// The cgroup of an id, by walking the tree.
    fn find(&self, id: &str) -> Option<CgroupPath> {
        let host = &self.shared.host;
        let mut scanned = lock(&self.scanned);
        if scanned.as_ref().is_none_or(|(at, _)| at.elapsed() >= SCAN_FRESH) {
            let found = scan(host).into_iter().map(|found| (found.id, found.path)).collect();
            *scanned = Some((Instant::now(), found));
        }
        let known =
            scanned.as_ref().and_then(|(_, paths)| paths.get(id)).map(|path| CgroupPath::everywhere(path));
        drop(scanned);
        // It may be newer than the walk, or have an id of another form.
        known.or_else(|| find_by_id(host, id))
    }

    /// Where the container's cgroup is.
    fn locate(&self, container: &Container) -> Result<(CgroupPath, Option<Process>), Absence> {
        let host = &self.shared.host;
        let foreign = host.pid_namespace() == Namespace::Private;
        let process = match container.pid {
            Some(pid) if !foreign => host.process(pid).ok(),
            _ => None,
        };
        let id = container.id.as_str();
        if let Some(path) = &container.cgroup {
            // Seen from a private cgroup namespace, the same cgroup has one name in the tree and another in `/proc`.
            let is_its =
                |process: &Process| is_below(host, *process, path) || in_container(host, *process, id);
            return Ok((CgroupPath::everywhere(path), process.filter(is_its)));
        }
        if let Some(process) = process
            && let Ok(path) = host.cgroup_path(process.pid)
            && !path.is_foreign()
            && path.container().is_some_and(|found| found.id == id)
        {
            return Ok((own_cgroups(&path.cut(), id), Some(process)));
        }
        // A pid of another namespace, or one that was given to another process: the tree still has the id.
        let process = process.filter(|process| in_container(host, *process, id));
        match self.find(id) {
            Some(path) => Ok((path, process)),
            // It runs, but what is mounted here does not show its cgroup.
            None if foreign || process.is_some() => Err(Absence::NotReachable),
            None => Err(Absence::NotRunning),
        }
    }
}

/// The paths that lead to the container itself. On v1 a runtime may leave a container in the root of a hierarchy that it does
/// not use, whose numbers are the host's. A cpuset holds for all below it, whosever it is.
fn own_cgroups(path: &CgroupPath, id: &str) -> CgroupPath {
    let mut text = String::new();
    for controller in Controller::ALL {
        let Some(path) = path.get(controller) else { continue };
        let is_own = classify(path).is_some_and(|found| found.id == id);
        if controller == Controller::Core && is_own {
            let _ = writeln!(text, "0::{path}");
        } else if is_own || controller == Controller::Cpuset {
            let _ = writeln!(text, "1:{}:{path}", controller.as_str());
        }
    }
    CgroupPath::parse(text.as_bytes())
}

/// Whether a process lives in a cgroup or below it, so that its pid was not given to another.
fn is_below(host: &Host, process: Process, cgroup: &str) -> bool {
    let Ok(paths) = host.cgroup_path(process.pid) else { return false };
    Controller::ALL
        .into_iter()
        .filter_map(|controller| paths.get(controller))
        .any(|path| is_or_below(path, cgroup))
}

/// Whether a path of a cgroup is that of another, or below it.
fn is_or_below(path: &str, cgroup: &str) -> bool {
    path.strip_prefix(cgroup).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn in_container(host: &Host, process: Process, id: &str) -> bool {
    host.cgroup_path(process.pid).is_ok_and(|path| path.container().is_some_and(|found| found.id == id))
}

impl Sampler for KernelSampler {
    fn open(&self, container: &Container, on_signal: OnSignal) -> Result<Box<dyn Probe>, Absence> {
        if container.is_sandboxed() {
            return Err(Absence::Sandboxed);
        }
        let shared = &self.shared;
        let (path, mut process) = self.locate(container)?;
        let directories = Directories::of(&shared.host, &path);
        let is_named = process.is_some();
        if process.is_none() && container.pid.is_none() {
            process = network::first_process(&shared.host, &directories);
        }
        let handle = Handle::open(&shared.host, &directories, process, &shared.budget).map_err(|_| {
            let runs = process.is_some_and(|process| shared.host.is_running(process));
            if runs { Absence::NotReachable } else { Absence::NotRunning }
        })?;
        let token = shared.next_token.fetch_add(1, Relaxed);
        shared.signals.set(token, on_signal);
        // A process that the engine did not name may be any of them, and its end that of none but itself.
        let watch = match shared.exit.watch(token, process.filter(|_| is_named), &directories) {
            Ok(watched) if watched.sees_exit() => Watch::Seen,
            Err(WatchError::Ended) => Watch::Ended,
            Ok(_) | Err(_) => Watch::Unseen,
        };
        let network =
            shared.namespaces.join(&shared.host, token, process, &container.network, Instant::now());
        if let (Some(found), Some(tree)) = (path.container(), lock(&self.tree).as_ref()) {
            tree.add_parents(&found);
        }
        let mounts = mounts::Mounts::new(token, handle.process(), container);
        Ok(Box::new(KernelProbe::new(Arc::clone(shared), token, handle, &path, watch, network, mounts)))
    }

    fn host(&self, groups: Groups, out: &mut Sample) {
        if groups.has(Group::Host) {
            self.shared.plans.read_host(&self.shared.host, out);
            self.shared.machine.fill(out);
        }
        if groups.has(Group::Gpu) {
            self.shared.accelerators.fill_host(out);
        }
    }

    fn root(&self, groups: Groups, out: &mut Sample) -> bool {
        root::fill(&self.shared.host, &self.shared.machine, groups, out)
    }

    fn watch_tree(&self, on_tree: OnTree) {
        let id = |found: Option<Found>| found.map(|found| ContainerId::new(&found.id));
        let watch = TreeWatch::start(&self.shared.host, &self.shared.budget, move |event| match event {
            TreeEvent::Created { found, .. } => {
                if let Some(id) = id(found) {
                    on_tree(TreeChange::Appeared(id));
                }
            }
            TreeEvent::Removed { found, .. } => {
                if let Some(id) = id(found) {
                    on_tree(TreeChange::Vanished(id));
                }
            }
            _ => on_tree(TreeChange::Overflow),
        });
        match watch {
            Ok(watch) => *lock(&self.tree) = Some(Arc::new(watch)),
            Err(error) => tracing::warn!(
                %error,
                "failed to watch the cgroup tree: what events miss is found by the list every 10 minutes; raise fs.inotify.max_user_instances"
            ),
        }
    }

    fn kept_fds(&self) -> Option<u64> {
        Some(self.shared.budget.used() as u64)
    }
}

/// Locks what no panic can leave half-changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
