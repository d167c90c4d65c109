//! Looking again and again, and telling what changed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cgroup_reader::{Host, HostError, ScanLimits};
use collector_core::{Change, Changes, Closed, Container, EngineInfo, Hearing, SourceCounters, SourceStatus};
use tokio::sync::Notify;
use tracing::Instrument as _;

use crate::Options;
use crate::scanner::SETTLE;

/// A container that an engine may own is not told before its oldest process has this age, where engines answer: the engine
/// tells of it sooner, and better.
pub(crate) const ENGINES_FIRST: Duration = Duration::from_secs(2);

/// What a look found.
#[derive(Debug)]
pub(crate) struct Look {
    /// Running containers, by id.
    pub(crate) containers: Vec<Container>,
    /// Some are too young to be told.
    pub(crate) settling: bool,
    /// A limit ended the scan early.
    pub(crate) truncated: bool,
}

/// Whoever can look at the tree.
pub(crate) trait Eyes: Send + 'static {
    /// The host as the last look found it.
    fn host(&self) -> Option<&Host>;

    /// Looks at the tree, to be heard like this. Blocks.
    ///
    /// # Errors
    /// There is no cgroup file system to be found.
    fn look(&mut self, hearing: Hearing) -> Result<Look, HostError>;
}

/// What an inventory that looks needs besides its eyes.
#[derive(Debug)]
pub(crate) struct Following {
    pub(crate) options: Options,
    /// Whether a list that was asked for is sent even if it is the last one again.
    repeats: bool,
    /// Wakes whoever waits for the next look.
    pub(crate) wake: Arc<Notify>,
    asked: AtomicBool,
    hearing: Mutex<Hearing>,
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

impl Following {
    pub(crate) fn new(options: Options, repeats: bool) -> Following {
        Following {
            options,
            repeats,
            wake: Arc::default(),
            asked: AtomicBool::new(false),
            hearing: Mutex::new(Hearing::Alone),
            scans: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// Looks until the collector has ended, as long as somebody listens.
    pub(crate) async fn run(&self, eyes: impl Eyes, changes: Changes) {
        // There is nobody left to tell.
        let Err(Closed) = self.follow(eyes, &changes).await;
    }

    pub(crate) fn relist(&self) {
        self.asked.store(true, Relaxed);
        self.wake.notify_one();
    }

    pub(crate) fn heard(&self, hearing: Hearing) {
        *self.hearing.lock().unwrap_or_else(PoisonError::into_inner) = hearing;
        self.wake.notify_one();
    }

    pub(crate) fn hearing(&self) -> Hearing {
        *self.hearing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counters(&self) -> SourceCounters {
        let mut counters = SourceCounters::default();
        counters.lists = self.scans.load(Relaxed);
        counters.request_errors = self.failures.load(Relaxed);
        counters
    }

    async fn follow(
        &self,
        mut eyes: impl Eyes,
        changes: &Changes,
    ) -> Result<std::convert::Infallible, Closed> {
        let mut told = Told::default();
        if !self.options.engines_first.is_zero() {
            self.pause(Some(self.options.engines_first), changes).await?;
        }
        loop {
            let hearing = self.hearing();
            if hearing == Hearing::Not {
                told.list = None;
                self.pause(None, changes).await?;
                continue;
            }
            let asked = self.asked.swap(false, Relaxed);
            let scan = tokio::task::spawn_blocking(move || {
                let look = eyes.look(hearing);
                (eyes, look)
            });
            // It fails only where the runtime is ending.
            let (back, look) = tokio::select! {
                scanned = scan.instrument(tracing::info_span!("scan", source = "cgroup")) => scanned.map_err(|_| Closed)?,
                () = changes.closed() => return Err(Closed),
            };
            eyes = back;
            self.scans.fetch_add(1, Relaxed);
            if asked && self.repeats {
                told.list = None;
            }
            let wait = match look {
                Ok(look) => self.tell(look, eyes.host(), &mut told, changes).await?,
                Err(error) => {
                    self.failures.fetch_add(1, Relaxed);
                    told.status(SourceStatus::Down(error.to_string()), changes).await?;
                    self.options.interval
                }
            };
            self.pause(Some(wait), changes).await?;
        }
    }

    /// Waits for so long, or until somebody wakes it.
    async fn pause(&self, wait: Option<Duration>, changes: &Changes) -> Result<(), Closed> {
        let time = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time => Ok(()),
            () = self.wake.notified() => Ok(()),
            () = changes.closed() => Err(Closed),
        }
    }

    /// Tells what is news; returns the time until the next look.
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
