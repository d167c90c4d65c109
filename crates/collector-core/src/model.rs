//! Who a container is: what an engine tells of it.
//!
//! An inventory builds a [`Container`] from the engine's answers and sends it whole at each change. Fields that
//! the engine did not give are `None`: nothing is made up.

use std::{collections::BTreeMap, fmt, sync::Arc, time::SystemTime};

use crate::effective::Limit;

/// The engine's full id of a container (64 hex digits with Docker and Podman).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(Arc<str>);

impl ContainerId {
    /// Wraps an id as the engine spells it.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as people see it: 12 digits of a 64-hex id, any other in full.
    #[must_use]
    pub fn short(&self) -> &str {
        crate::labels::short_id(&self.0)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The kind of engine that runs a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Engine {
    /// Docker Engine.
    Docker,
    /// Podman, through its Docker-compatible API.
    Podman,
    /// None that answers: the container was found by its cgroup.
    Kernel,
    /// The simulator.
    Simulated,
}

impl Engine {
    /// The value of the label `engine`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Kernel => "kernel",
            Self::Simulated => "simulated",
        }
    }
}

/// `State.Status` of the Engine API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Made, never started.
    Created,
    /// Its init process runs.
    Running,
    /// Frozen.
    Paused,
    /// Waits for its restart policy.
    Restarting,
    /// Is being removed.
    Removing,
    /// Its init process ended.
    Exited,
    /// Could not be removed.
    Dead,
}

impl State {
    /// Every state, in the order of the pages.
    pub const ALL: [Self; 7] = [
        Self::Created,
        Self::Running,
        Self::Paused,
        Self::Restarting,
        Self::Removing,
        Self::Exited,
        Self::Dead,
    ];

    /// The names of [`State::ALL`], as the engine spells them.
    pub const NAMES: &'static [&'static str] =
        &["created", "running", "paused", "restarting", "removing", "exited", "dead"];

    /// As the engine spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Reads the engine's word, Podman's included (`configured`, `initialized`, `stopping`, `stopped`).
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "created" | "configured" | "initialized" => Self::Created,
            "running" | "stopping" => Self::Running,
            "paused" => Self::Paused,
            "restarting" => Self::Restarting,
            "removing" => Self::Removing,
            "exited" | "stopped" => Self::Exited,
            "dead" => Self::Dead,
            _ => return None,
        })
    }

    /// Whether it has processes, so that the kernel has numbers.
    #[must_use]
    pub const fn has_processes(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// `State.Health.Status` of the Engine API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// The container has no health check.
    NoCheck,
    /// The check has not yet passed, nor failed often enough.
    Starting,
    /// The last check passed.
    Healthy,
    /// The check failed as often as it may.
    Unhealthy,
}

impl Health {
    /// The names of the states in the order of declaration, as the engine spells them.
    pub const NAMES: &'static [&'static str] = &["none", "starting", "healthy", "unhealthy"];
}

/// Whose network a container uses: `HostConfig.NetworkMode`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Network {
    /// A namespace of its own, with interfaces.
    Own,
    /// A namespace of its own with a loopback only.
    None,
    /// The host's.
    Host,
    /// Another container's.
    Container(ContainerId),
    /// The engine did not say.
    Unknown,
}

/// What the engine was told to allow: `HostConfig`. `None` where the engine did not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// `Memory`, bytes.
    pub memory: Option<Limit>,
    /// `MemorySwap`, bytes of memory and swap together.
    pub memory_swap: Option<Limit>,
    /// `MemoryReservation`, bytes.
    pub memory_reservation: Option<Limit>,
    /// `NanoCpus`, billionths of a CPU.
    pub nano_cpus: Option<Limit>,
    /// `CpuShares`; 1024 where the engine was told nothing.
    pub cpu_shares: Option<u64>,
    /// `PidsLimit`.
    pub pids: Option<Limit>,
}

/// A volume, bind mount or tmpfs: an entry of `Mounts` of the Engine API's inspect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mount {
    /// `Destination`: where it is in the container.
    pub destination: Arc<str>,
    /// `Type`: `volume`, `bind`, `tmpfs`, ….
    pub kind: Arc<str>,
    /// `Name` of a volume.
    pub name: Option<Arc<str>>,
    /// `Source`: where it is on the engine's host.
    pub source: Option<Arc<str>>,
}

impl Mount {
    /// A mount of which only place and type are known.
    #[must_use]
    pub fn new(destination: &str, kind: &str) -> Self {
        Self { destination: destination.into(), kind: kind.into(), name: None, source: None }
    }
}

/// One container as its engine describes it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Container {
    /// Full id.
    pub id: ContainerId,
    /// Kind of engine.
    pub engine: Engine,
    /// Name without the leading slash.
    pub name: Option<Arc<str>>,
    /// The image as it was named at creation.
    pub image: Option<Arc<str>>,
    /// The image's content id, `sha256:…`.
    pub image_id: Option<Arc<str>>,
    /// The container's labels.
    pub labels: BTreeMap<String, String>,
    /// Its state.
    pub state: State,
    /// Its health; `None` where the engine did not say.
    pub health: Option<Health>,
    /// Exit code of the last run, once there was one.
    pub exit_code: Option<i64>,
    /// Whether the engine says that the last run was ended by the OOM killer.
    pub oom_killed: bool,
    /// Restarts by policy since the engine last reset the count.
    pub restart_count: Option<u64>,
    /// When it was made.
    pub created_at: Option<SystemTime>,
    /// When the current or last run started.
    pub started_at: Option<SystemTime>,
    /// When the last run ended.
    pub finished_at: Option<SystemTime>,
    /// Init process, in the pid namespace of the engine, while it runs.
    pub pid: Option<u32>,
    /// The cgroup's path, where the source knows it (the scanning inventory does).
    pub cgroup: Option<Arc<str>>,
    /// Its network.
    pub network: Network,
    /// What it was allowed at creation or by update.
    pub limits: Limits,
    /// `HostConfig.Runtime`, such as `runc` or `runsc`.
    pub runtime: Option<Arc<str>>,
    /// Its engine has named it, and will yet tell what runs it, and with which limits: whose numbers its cgroup holds is not
    /// known so long.
    pub awaits_inspect: bool,
    /// The Podman pod, by name.
    pub pod: Option<Arc<str>>,
    /// Owner of a rootless engine.
    pub uid: Option<u32>,
    /// What is mounted into it.
    pub mounts: Arc<[Mount]>,
    /// `LogPath`: the file that its output is written to, on the engine's host.
    pub log_path: Option<Arc<str>>,
    /// The systemd unit, as `systemctl` prints it, of what no engine runs.
    pub unit: Option<Arc<str>>,
    /// The systemd slice that the unit is in.
    pub slice: Option<Arc<str>>,
}

impl Container {
    /// A container of which nothing but its id, engine and state is known yet.
    #[must_use]
    pub fn new(id: ContainerId, engine: Engine, state: State) -> Self {
        Self {
            id,
            engine,
            name: None,
            image: None,
            image_id: None,
            labels: BTreeMap::new(),
            state,
            health: None,
            exit_code: None,
            oom_killed: false,
            restart_count: None,
            created_at: None,
            started_at: None,
            finished_at: None,
            pid: None,
            cgroup: None,
            network: Network::Unknown,
            limits: Limits::default(),
            runtime: None,
            awaits_inspect: false,
            pod: None,
            uid: None,
            mounts: Arc::default(),
            log_path: None,
            unit: None,
            slice: None,
        }
    }

    /// Whether it is a systemd unit, or a part of one. It has a container's numbers, but nobody who counts containers, or adds
    /// up what they use, means it: its own containers would count twice.
    #[must_use]
    pub fn is_unit(&self) -> bool {
        self.unit.is_some()
    }

    /// Whether its runtime keeps it in a kernel or machine of its own (gVisor, Kata): the host's cgroup has zeros then, or the
    /// sandbox's own use.
    #[must_use]
    pub fn is_sandboxed(&self) -> bool {
        let is_sandbox =
            |runtime: &str| ["runsc", "gvisor", "kata"].iter().any(|name| runtime.contains(name));
        self.runtime.as_deref().is_some_and(is_sandbox)
    }

    /// Its name, or its short id where it has none.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.id.short())
    }
}
