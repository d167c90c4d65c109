//! The inventory: sessions with one engine, one after the other, for ever.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use collector_core::{
    BoxFuture, Change, Changes, Container, Engine, Groups, Inventory, Sample, SourceCounters, SourceStatus,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use crate::{
    Endpoint, Options, PodmanStore,
    client::RequestCounts,
    holdings::Holdings,
    read::Owner,
    session::{self, End, Known},
    table::Table,
};

/// What an inventory and its sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) requests: Arc<RequestCounts>,
    pub(crate) relist: Notify,
    pub(crate) events: AtomicU64,
    pub(crate) event_errors: AtomicU64,
    pub(crate) lists: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) holdings: Holdings,
    reconnects: AtomicU64,
    /// An optional engine whose socket has not been seen yet.
    dormant: AtomicBool,
}

/// The containers of one Docker-compatible engine.
///
/// It connects when it runs, and whatever happens to the engine it goes on: a loss is told as
/// [`SourceStatus::Down`] with its reason, logged once, and retried for ever with growing pauses.
#[derive(Debug)]
pub struct DockerInventory {
    pub(crate) shared: Arc<Shared>,
}

impl DockerInventory {
    /// An inventory of the engine that the options name. Nothing is connected yet.
    #[must_use]
    pub fn new(mut options: Options) -> Self {
        options.uid = options.uid.or_else(|| user_of(&options.endpoint));
        let shared = Shared {
            dormant: AtomicBool::new(options.optional),
            options,
            requests: Arc::default(),
            relist: Notify::new(),
            events: AtomicU64::new(0),
            event_errors: AtomicU64::new(0),
            lists: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            holdings: Holdings::default(),
            reconnects: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Inventory for DockerInventory {
    fn name(&self) -> &str {
        &self.shared.options.name
    }

    fn run(self: Arc<Self>, changes: Changes) -> BoxFuture<()> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let mut stand_in = StandIn::default();
            loop {
                if shared.options.optional {
                    tokio::select! {
                        () = appears(&shared, &changes, &mut stand_in) => shared.dormant.store(false, Relaxed),
                        () = changes.closed() => return,
                    }
                }
                if follow_while_there(&shared, &changes, &mut stand_in).await == Ended::Closed {
                    return;
                }
                shared.dormant.store(true, Relaxed);
            }
        })
    }

    fn is_dormant(&self) -> bool {
        self.shared.dormant.load(Relaxed)
    }

    fn relist(&self) {
        // Of many calls while a list is on its way one is remembered.
        self.shared.relist.notify_one();
    }

    fn holdings(&self, groups: Groups, out: &mut Sample) {
        let options = &self.shared.options;
        self.shared.holdings.fill(groups, &options.name, options.holdings_interval, out);
    }

    fn counters(&self) -> SourceCounters {
        let shared = &self.shared;
        let mut counters = SourceCounters::default();
        counters.requests = shared.requests.sent.load(Relaxed);
        counters.request_errors = shared.requests.failed.load(Relaxed);
        counters.events = shared.events.load(Relaxed);
        counters.event_errors = shared.event_errors.load(Relaxed);
        counters.reconnects = shared.reconnects.load(Relaxed);
        counters.lists = shared.lists.load(Relaxed);
        counters.malformed = shared.malformed.load(Relaxed);
        counters
    }
}

/// The user whose runtime directory a socket is in.
fn user_of(endpoint: &Endpoint) -> Option<u32> {
    let Endpoint::Unix(path) = endpoint else { return None };
    let (_, below) = path.to_str()?.split_once("/run/user/")?;
    below.split('/').next()?.parse().ok().filter(|uid| *uid != 0)
}

/// Waits until the socket is there. Until then the store tells what it can.
async fn appears(shared: &Shared, changes: &Changes, stand_in: &mut StandIn) {
    let options = &shared.options;
    let Endpoint::Unix(path) = &options.endpoint else { return };
    while !path.exists() {
        stand_in.tell(options, &[], changes).await;
        // Woken early by whoever saw the socket come, or a container that nobody told of.
        let _ = timeout(options.look_interval, shared.relist.notified()).await;
    }
}

/// Why an engine is not followed any more.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// The collector has ended.
    Closed,
    /// The socket of an optional engine is gone.
    SocketGone,
}

/// Tells of containers by the engine's store while the engine cannot be asked.
#[derive(Debug, Default)]
struct StandIn {
    /// What was told last; `None` where the engine itself, or nobody, has told.
    told: Option<Vec<Container>>,
    /// Something was told of this engine, which an empty list takes back.
    any: bool,
}

impl StandIn {
    /// The engine tells itself.
    fn retire(&mut self) {
        self.told = None;
        self.any = true;
    }

    /// Lists what runs. Of what the engine told before, `known`, its own words are kept while the same process runs.
    async fn tell(&mut self, options: &Options, known: &[Container], changes: &Changes) {
        let owner = Owner { engine: Engine::Podman, uid: options.uid };
        let store = options.store.clone();
        let read = tokio::task::spawn_blocking(move || store.map(|store| store.running(owner)));
        let Ok(running) = read.await else { return };
        let mut list = running.unwrap_or_default();
        for container in &mut list {
            let same = |other: &&Container| other.id == container.id && other.pid == container.pid;
            if let Some(better) = known.iter().find(same) {
                better.clone_into(container);
            }
        }
        // An empty first list would silence the cgroup scan in favour of an engine that is not there.
        if (list.is_empty() && !self.any) || self.told.as_ref() == Some(&list) {
            return;
        }
        self.any = true;
        self.told = Some(list.clone());
        // Whether the collector has ended is the caller's to see.
        let _ = changes.send(Change::Listed(list)).await;
    }
}

/// Since when the socket of an optional engine is not there.
#[derive(Debug, Default)]
struct Absence(Option<Instant>);

impl Absence {
    /// Whether it will not come back soon.
    fn is_final(&mut self, options: &Options) -> bool {
        let Endpoint::Unix(path) = &options.endpoint else { return false };
        if !options.optional || path.exists() {
            self.0 = None;
            return false;
        }
        let since = *self.0.get_or_insert_with(Instant::now);
        let is_folder_gone = path.parent().is_some_and(|folder| !folder.exists());
        is_folder_gone || since.elapsed() >= options.gone_after
    }
}

async fn follow_while_there(shared: &Arc<Shared>, changes: &Changes, stand_in: &mut StandIn) -> Ended {
    let options = &shared.options;
    let owner = Owner { engine: Engine::Docker, uid: options.uid };
    let mut table = Table::new(owner, options.stopped_max);
    let mut known = Known::default();
    let mut backoff = Backoff::new(options.backoff_min, options.backoff_max);
    let mut loss = Loss::default();
    let mut is_first = true;
    let mut absence = Absence::default();
    loop {
        let began = Instant::now();
        match session::run(shared, changes, &mut table, &mut known).await {
            End::Closed => return Ended::Closed,
            End::Again => continue,
            End::Lost { reason, is_permission, was_up } => {
                if was_up {
                    is_first = false;
                    stand_in.retire();
                    shared.reconnects.fetch_add(1, Relaxed);
                    loss = Loss::default();
                    // A session that lasted is no sign of an engine that cannot keep one.
                    if began.elapsed() > options.backoff_max {
                        backoff.reset();
                    }
                }
                if loss.is_news(is_permission) {
                    // An engine that is out of reach from the start is the application's to tell of, from the status.
                    if !is_first {
                        tracing::warn!(
                            source = options.name,
                            endpoint = %options.endpoint,
                            "the engine is out of reach, trying again: {reason}"
                        );
                    }
                    if changes.send(Change::Status(SourceStatus::Down(reason))).await.is_err() {
                        return Ended::Closed;
                    }
                }
                is_first = false;
            }
        }
        if absence.is_final(options) {
            stand_in.tell(options, &[], changes).await;
            return Ended::SocketGone;
        }
        if options.store.as_ref().is_some_and(PodmanStore::is_readable) {
            stand_in.tell(options, &table.containers(), changes).await;
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => {}
            () = changes.closed() => return Ended::Closed,
        }
    }
}

/// What was told of a loss.
#[derive(Debug, Default)]
struct Loss {
    told: bool,
    told_permission: bool,
}

impl Loss {
    /// A loss is told once; once more if it turns out that a person must mend it.
    fn is_news(&mut self, is_permission: bool) -> bool {
        let news = !self.told || (is_permission && !self.told_permission);
        self.told = true;
        self.told_permission |= is_permission;
        news
    }
}

/// Pauses that double from the least to the longest, each cut by up to a half at random, so that many exporters
/// do not come back at the same moment.
#[derive(Debug)]
struct Backoff {
    least: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    fn new(least: Duration, longest: Duration) -> Self {
        Self { least, longest, next: least }
    }

    fn reset(&mut self) {
        self.next = self.least;
    }

    fn next(&mut self) -> Duration {
        let whole = self.next.min(self.longest);
        self.next = whole.saturating_mul(2);
        // Each RandomState has keys of its own, so an empty hash is a random number.
        let random = RandomState::new().build_hasher().finish() % 1_024;
        whole / 2 + whole / 2 * random as u32 / 1_024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let (least, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(least, longest);
        for expect_ms in [100, 200, 400, 800, 1_000, 1_000] {
            let pause = backoff.next();
            let whole = Duration::from_millis(expect_ms);
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= least);
    }

    #[test]
    fn pauses_differ() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..20 {
            seen.insert(Backoff::new(Duration::from_secs(1), Duration::from_secs(1)).next());
        }
        assert!(seen.len() > 5);
    }
}
