//! The joints: what a source of identities ([`Inventory`]) and a source of numbers ([`Sampler`]) must do.

use std::{future::Future, pin::Pin, sync::Arc};

use crate::{
    Absence, Container, ContainerId, Groups, Sample,
    catalogue::{self, RowId, ids},
};

/// What an [`Inventory`] tells the collector.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Change {
    /// The whole list: containers of this inventory that are not in it are gone.
    Listed(Vec<Container>),
    /// A container that is new or has changed, whole. A run that ends is sent with its state, exit code and time
    /// before anything that follows it, so that no run is lost between two others.
    Upsert(Box<Container>),
    /// A container was removed.
    Gone(ContainerId),
    /// The engine spoke of an out-of-memory kill in it. Never counted (one kill raises up to 20 of them): it is
    /// evidence only where the kernel's own count was missed.
    OomHint(ContainerId),
    /// The engine answers, or it does not.
    Status(SourceStatus),
}

/// Whether an engine answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceStatus {
    /// It does.
    Up(EngineInfo),
    /// It does not, for this reason (one sentence).
    Down(String),
}

/// What an engine says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineInfo {
    /// `docker` or `podman`.
    pub engine: String,
    /// Engine version.
    pub version: String,
    /// API version in use.
    pub api_version: String,
    /// Cgroup driver: `cgroupfs`, `systemd`.
    pub cgroup_driver: String,
    /// Storage driver or snapshotter.
    pub storage_driver: String,
    /// Where it answers, such as `unix:///var/run/docker.sock`.
    pub endpoint: String,
}

/// Where an inventory sends its changes. Bounded: a send waits while the collector is busy.
#[cfg(feature = "collector")]
#[derive(Debug, Clone)]
pub struct Changes {
    pub(crate) source: usize,
    pub(crate) sender: tokio::sync::mpsc::Sender<(usize, Change)>,
}

#[cfg(feature = "collector")]
impl Changes {
    /// A channel of its own, for tests of an inventory: the receiver yields what it sends, with the number 0.
    #[must_use]
    pub fn channel(capacity: usize) -> (Self, tokio::sync::mpsc::Receiver<(usize, Change)>) {
        let (sender, receiver) = tokio::sync::mpsc::channel(capacity);
        (Self { source: 0, sender }, receiver)
    }

    /// Sends a change.
    ///
    /// # Errors
    ///
    /// The collector has ended: so should the inventory.
    pub async fn send(&self, change: Change) -> Result<(), Closed> {
        self.sender.send((self.source, change)).await.map_err(|_| Closed)
    }

    /// Waits until the collector has ended.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }
}

/// The collector has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the collector has ended")]
pub struct Closed;

/// A future that an object-safe trait can return.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How a collector hears a fallback.
#[cfg(feature = "collector")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// No engine answers.
    Alone,
    /// Some engine answers and another does not. A new container may be of the one that answers, which knows its name: the
    /// fallback leaves it a moment to speak first.
    Beside,
    /// Every engine answers: the fallback need not look. What it told of is forgotten, so it tells all when it is heard again.
    Not,
}

/// Says who the containers are: one engine, one inventory.
#[cfg(feature = "collector")]
pub trait Inventory: Send + Sync + 'static {
    /// What the label `source` says, such as `docker` or `podman`; unique among a collector's inventories.
    fn name(&self) -> &str;

    /// Follows the engine until the collector ends. Faults are its own to survive: it reports
    /// [`Change::Status`], retries for ever with backoff, and lists again after each reconnect.
    fn run(self: Arc<Self>, changes: Changes) -> BoxFuture<()>;

    /// Asks for a list soon: the kernel shows a container that this inventory did not mention, or the reverse.
    fn relist(&self);

    /// Whether it stands in for engines that do not answer: what another inventory says of the same container wins, and
    /// while every engine answers it is not heard.
    fn is_fallback(&self) -> bool {
        false
    }

    /// Whether it tells of what no engine runs: what another inventory says of the same container wins, and a fallback is
    /// heard as if this one were not there.
    fn is_supplement(&self) -> bool {
        false
    }

    /// Tells a fallback how it is heard from now on: once an engine has told of its containers, or none is there that could, and
    /// whenever that changes. Until then it is [`Hearing::Alone`].
    fn heard(&self, _hearing: Hearing) {}

    /// Whether nobody asked for its engine by name and it has never been there: then nothing is said of it.
    fn is_dormant(&self) -> bool {
        false
    }

    /// Fills those rows of the groups engine and engine_disk that are wanted with what the engine last said, and has the
    /// engine asked in the background where that is old. It is called for each page, so it waits for nothing.
    fn holdings(&self, _groups: Groups, _out: &mut Sample) {}

    /// Counters of this inventory: requests to the engine, events, errors.
    fn counters(&self) -> SourceCounters {
        SourceCounters::default()
    }
}

/// Plain counts of what an inventory did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceCounters {
    /// Requests sent to the engine, pings included.
    pub requests: u64,
    /// Requests that failed or timed out.
    pub request_errors: u64,
    /// Events received.
    pub events: u64,
    /// Events that could not be understood.
    pub event_errors: u64,
    /// Connections made again after a loss.
    pub reconnects: u64,
    /// Whole lists taken.
    pub lists: u64,
    /// Containers whose description could not be understood, so that only part of it is shown.
    pub malformed: u64,
}

/// What a [`Probe`] tells its owner between samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// The init process has ended; the cgroup lives some milliseconds more. Take the last sample now, on this thread.
    Exited,
    /// The kernel changed a count of memory events (an OOM kill, perhaps).
    MemoryEvent,
}

/// Called on a thread of the sampler's own.
pub type OnSignal = Arc<dyn Fn(Signal) + Send + Sync>;

/// A cgroup directory that looks like a container's came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreeChange {
    /// It came.
    Appeared(ContainerId),
    /// It went.
    Vanished(ContainerId),
    /// Some were missed.
    Overflow,
}

/// Called on a thread of the sampler's own.
pub type OnTree = Arc<dyn Fn(TreeChange) + Send + Sync>;

/// The container has no cgroup any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cgroup is gone")]
pub struct Gone;

/// Says how much containers use. Synchronous: the collector calls it on its own threads and bounds the time.
pub trait Sampler: Send + Sync + 'static {
    /// Finds where the numbers of a running container are. The probe reports the end of the init process
    /// through `on_signal`, where the sampler can see it.
    ///
    /// # Errors
    ///
    /// Why the container's numbers are out of reach.
    fn open(&self, container: &Container, on_signal: OnSignal) -> Result<Box<dyn Probe>, Absence>;

    /// Reads rows of the entity host.
    fn host(&self, groups: Groups, out: &mut Sample);

    /// Reads the root cgroup's rows as if it were a container; false where it cannot.
    fn root(&self, _groups: Groups, _out: &mut Sample) -> bool {
        false
    }

    /// Begins to report cgroups that come and go.
    fn watch_tree(&self, _on_tree: OnTree) {}

    /// Descriptors kept open to read the kernel's files.
    fn kept_fds(&self) -> Option<u64> {
        None
    }

    /// Whether the cgroup file system is mounted; `None` for numbers from elsewhere. Asked once for each collection.
    fn cgroups_up(&self) -> Option<bool> {
        None
    }
}

/// What is counted while this process watches, over the runs of containers and of all of them together.
pub const COUNTED: [RowId; 2] = [ids::CPU_USAGE, ids::MEMORY_EVENTS_OOM_KILL];

/// The numbers of one run of one container.
pub trait Probe: Send {
    /// Fills the rows of these groups whose source is the kernel.
    ///
    /// # Errors
    ///
    /// The cgroup is gone; what was filled until then counts.
    fn sample(&mut self, groups: Groups, out: &mut Sample) -> Result<(), Gone>;

    /// Fills the rows of [`COUNTED`], and others where that is no more work: called when a container appears, and when it ends and
    /// its files may be gone at any moment.
    ///
    /// # Errors
    ///
    /// The cgroup is gone; what was filled until then counts.
    fn count(&mut self, out: &mut Sample) -> Result<(), Gone> {
        self.sample(COUNTED.into_iter().map(|row| catalogue::get().row(row).group).collect(), out)
    }

    /// Whether somebody sees its end: false where neither pidfd nor inotify could be had.
    fn sees_exit(&self) -> bool {
        false
    }

    /// Whether the init process had ended already when the probe was opened, so that nobody will tell of it and each sample
    /// may be the last.
    fn has_ended(&self) -> bool {
        false
    }

    /// OOM kills that the kernel has counted below the parent of this cgroup, which outlives it (v2: its `memory.events`).
    /// `None` where there is no such count.
    fn oom_kills_around(&self) -> Option<u64> {
        None
    }
}
