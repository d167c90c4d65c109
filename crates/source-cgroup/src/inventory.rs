//! The inventory: scans, and tells what changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cgroup_reader::{Host, HostError, Roots, ScanLimits};
use collector_core::{
    BoxFuture, Change, Changes, Closed, Container, EngineInfo, Inventory, SourceCounters, SourceStatus,
};
use tokio::sync::Notify;

use crate::scanner::{Look, SETTLE, Scanner};

/// How a [`ScanInventory`] scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The longest time between two scans; 10 s by default. The collector asks for one when the tree shows news.
    pub interval: Duration,
    /// Bounds on one scan.
    pub limits: ScanLimits,
}

impl Default for Options {
    fn default() -> Options {
        Options { interval: Duration::from_secs(10), limits: ScanLimits::default() }
    }
}

/// The containers whose cgroups have processes. A fallback: heard until an engine has listed.
#[derive(Debug)]
pub struct ScanInventory {
    roots: Roots,
    options: Options,
    wake: Notify,
    retired: AtomicBool,
    scans: AtomicU64,
    failures: AtomicU64,
}

/// What the collector was last told.
#[derive(Debug, Default)]
struct Told {
    status: Option<SourceStatus>,
    list: Option<Vec<Container>>,
    truncated: bool,
}

impl ScanInventory {
    /// Scans the cgroup tree under these roots.
    #[must_use]
    pub fn new(roots: Roots, options: Options) -> ScanInventory {
        ScanInventory {
            roots,
            options,
            wake: Notify::new(),
            retired: AtomicBool::new(false),
            scans: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// The running containers now, by id. Blocks while it scans.
    ///
    /// # Errors
    /// [`HostError`] if there is no cgroup file system under the roots.
    pub fn containers(&self) -> Result<Vec<Container>, HostError> {
        Scanner::new(self.roots.clone(), self.options.limits).look().map(|look| look.containers)
    }

    async fn follow(&self, changes: &Changes) -> Result<(), Closed> {
        let mut scanner = Scanner::new(self.roots.clone(), self.options.limits);
        let mut told = Told::default();
        while !self.retired.load(Relaxed) {
            let scan = tokio::task::spawn_blocking(move || {
                let look = scanner.look();
                (scanner, look)
            });
            // It fails only where the runtime is ending.
            let (back, look) = tokio::select! {
                scanned = scan => scanned.map_err(|_| Closed)?,
                () = changes.closed() => return Err(Closed),
            };
            scanner = back;
            self.scans.fetch_add(1, Relaxed);
            let wait = match look {
                Ok(look) => self.tell(look, scanner.host(), &mut told, changes).await?,
                Err(error) => {
                    self.failures.fetch_add(1, Relaxed);
                    told.status(SourceStatus::Down(error.to_string()), changes).await?;
                    self.options.interval
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.wake.notified() => {}
                () = changes.closed() => return Err(Closed),
            }
        }
        Ok(())
    }

    /// Tells what is news; returns the time until the next scan.
    async fn tell(
        &self,
        look: Look,
        host: Option<&Host>,
        told: &mut Told,
        changes: &Changes,
    ) -> Result<Duration, Closed> {
        if let Some(host) = host {
            told.status(SourceStatus::Up(info(host)), changes).await?;
        }
        if look.truncated && !std::mem::replace(&mut told.truncated, true) {
            let ScanLimits { depth_max, directories_max, found_max } = self.options.limits;
            tracing::warn!(
                depth_max,
                directories_max,
                found_max,
                "the cgroup tree is larger than a scan may look through: containers beyond are not shown"
            );
        }
        if told.list.as_ref() != Some(&look.containers) {
            told.list = Some(look.containers.clone());
            changes.send(Change::Listed(look.containers)).await?;
        }
        Ok(if look.settling { self.options.interval.min(SETTLE) } else { self.options.interval })
    }
}

impl Told {
    async fn status(&mut self, status: SourceStatus, changes: &Changes) -> Result<(), Closed> {
        if self.status.as_ref() == Some(&status) {
            return Ok(());
        }
        self.status = Some(status.clone());
        changes.send(Change::Status(status)).await
    }
}

/// The kernel as an engine: its release, and how cgroups are mounted as the version of its API.
fn info(host: &Host) -> EngineInfo {
    let release = std::fs::read_to_string(host.roots().proc.join("sys/kernel/osrelease")).unwrap_or_default();
    EngineInfo {
        engine: collector_core::Engine::Kernel.as_str().to_owned(),
        version: release.trim().to_owned(),
        api_version: format!("cgroup {}", host.layout().as_str()),
        endpoint: host.roots().cgroup.display().to_string(),
        ..EngineInfo::default()
    }
}

impl Inventory for ScanInventory {
    fn name(&self) -> &str {
        "cgroup"
    }

    fn run(self: Arc<Self>, changes: Changes) -> BoxFuture<()> {
        Box::pin(async move {
            // Either way there is nobody left to tell.
            let (Ok(()) | Err(Closed)) = self.follow(&changes).await;
            changes.closed().await;
        })
    }

    fn relist(&self) {
        self.wake.notify_one();
    }

    fn is_fallback(&self) -> bool {
        true
    }

    fn retire(&self) {
        self.retired.store(true, Relaxed);
        self.wake.notify_one();
    }

    fn is_dormant(&self) -> bool {
        self.retired.load(Relaxed)
    }

    fn counters(&self) -> SourceCounters {
        let mut counters = SourceCounters::default();
        counters.lists = self.scans.load(Relaxed);
        counters.request_errors = self.failures.load(Relaxed);
        counters
    }
}
