//! The collector's tasks: following the inventories, heeding the cgroup tree, collecting.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use tracing::Instrument as _;

use super::{
    Latest, Request, Running, Shared,
    assemble::{Read, assemble},
    entry::{Entry, derive},
    lock,
    workers::STUCK_AFTER,
};
use crate::{
    Absence, Change, Changes, Container, ContainerId, Engine, Group, Groups, Inventory, Sample, Snapshot,
    SourceStatus, State, source::TreeChange,
};

/// Changes that may wait to be applied.
pub(super) const CHANGES_WAITING: usize = 64;
/// How long an engine may take to tell of what the kernel shows already.
const GRACE: Duration = Duration::from_millis(300);
/// Lists asked for because of the cgroup tree are at least this far apart.
const RELIST_GAP: Duration = Duration::from_secs(2);
/// A caller that joined another's collection waits this much longer than its deadline.
const JOIN_SLACK: Duration = Duration::from_millis(100);

/// Starts the tasks. They end with the collector.
pub(super) fn spawn(shared: &Arc<Shared>, receiver: mpsc::Receiver<(usize, Change)>) {
    for (source, inventory) in shared.inventories().into_iter().enumerate() {
        start(shared, source, inventory);
    }
    tokio::spawn(follow(Arc::clone(shared), receiver));
    let (hints, heard) = mpsc::channel(1024);
    shared.sampler.watch_tree(Arc::new(move |change| {
        // A full channel means that a list is due anyway.
        let _ = hints.try_send(change);
    }));
    tokio::spawn(heed(Arc::clone(shared), heard));
}

/// Starts one inventory.
pub(super) fn start(shared: &Shared, source: usize, inventory: Arc<dyn Inventory>) {
    let changes = Changes { source, sender: shared.changes.clone() };
    tokio::spawn(attend(tokio::spawn(inventory.run(changes.clone())), changes));
}

/// An inventory runs as long as the collector. One that does not is down, and the others go on.
async fn attend(inventory: JoinHandle<()>, changes: Changes) {
    let _ = inventory.await;
    let down = "its task has ended, which is a fault of this program: start the exporter again";
    // Where the collector has ended there is nobody to tell.
    let _ = changes.send(Change::Status(SourceStatus::Down(down.to_owned()))).await;
}

/// Applies changes as they come.
async fn follow(shared: Arc<Shared>, mut changes: mpsc::Receiver<(usize, Change)>) {
    loop {
        let (source, change) = tokio::select! {
            change = changes.recv() => match change {
                Some(change) => change,
                None => return,
            },
            () = shared.stopped() => return,
        };
        let begun = lock(&shared.table).apply(source, change, &shared);
        if !begun.is_empty() {
            read_at_once(&shared, begun);
        }
        shared.applied.send_modify(|applied| *applied += 1);
    }
}

/// Opens containers whose run begins, so that their end is seen and what they use is counted from now.
fn read_at_once(shared: &Arc<Shared>, begun: Vec<Arc<Entry>>) {
    let weak = Arc::downgrade(shared);
    shared.pool.submit(begun.len(), move |item| {
        if let Some(shared) = weak.upgrade() {
            begun[item].sample(Groups::NONE, true, &shared);
        }
    });
}

/// Asks for lists when the cgroup tree shows what no inventory told.
async fn heed(shared: Arc<Shared>, mut hints: mpsc::Receiver<TreeChange>) {
    let mut waiting: BTreeMap<Option<ContainerId>, (TreeChange, Instant)> = BTreeMap::new();
    let mut not_before = Instant::now();
    loop {
        let due = waiting.values().map(|(_, due)| *due).min();
        let wake = due.map(|due| due.max(not_before));
        let sleep = async {
            match wake {
                Some(wake) => sleep_until(wake).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            hint = hints.recv() => {
                let Some(change) = hint else { return };
                let id = match &change {
                    TreeChange::Appeared(id) | TreeChange::Vanished(id) => Some(id.clone()),
                    TreeChange::Overflow => None,
                };
                waiting.insert(id, (change, Instant::now() + GRACE));
            }
            () = sleep => {
                let now = Instant::now();
                let ripe: Vec<_> = waiting.iter().filter(|(_, (_, due))| *due <= now).map(|(id, _)| id.clone()).collect();
                let table = lock(&shared.table);
                let mut news = false;
                for id in ripe {
                    if let Some((change, _)) = waiting.remove(&id) {
                        news |= table.is_news(&change);
                    }
                }
                drop(table);
                if news {
                    not_before = now + RELIST_GAP;
                    for inventory in shared.inventories() {
                        inventory.relist();
                    }
                }
            }
            () = shared.stopped() => return,
        }
    }
}

impl Shared {
    pub(super) async fn collect(self: &Arc<Self>, request: Request) -> Arc<Snapshot> {
        let groups = request.groups.and(self.options.groups);
        if let Some(snapshot) = self.fresh(groups, request.root, request.max_age) {
            return snapshot;
        }
        let mut result = self.join_or_start(groups, request);
        let finished = timeout(request.deadline + JOIN_SLACK, result.wait_for(Option::is_some)).await;
        if let Ok(Ok(snapshot)) = finished
            && let Some(snapshot) = snapshot.as_ref()
        {
            return Arc::clone(snapshot);
        }
        // It runs to a later deadline than ours: what is known without the kernel still holds.
        Arc::new(assemble(self, self.nothing_read(groups)))
    }

    fn fresh(&self, groups: Groups, root: bool, max_age: Duration) -> Option<Arc<Snapshot>> {
        let latest = lock(&self.latest);
        let Latest { began, applied, snapshot } = latest.as_ref()?;
        let covers = snapshot.groups.covers(groups) && (snapshot.root.is_some() || !root);
        let is_fresh =
            self.now().saturating_duration_since(*began) < max_age && *applied == *self.applied.borrow();
        (is_fresh && covers).then(|| Arc::clone(snapshot))
    }

    fn join_or_start(
        self: &Arc<Self>,
        groups: Groups,
        request: Request,
    ) -> watch::Receiver<Option<Arc<Snapshot>>> {
        let mut running = lock(&self.running);
        if let Some(running) = running.as_ref()
            && running.groups.covers(groups)
            // One that broke off without a result would be joined for ever.
            && running.result.has_changed().is_ok()
            && (running.root || !request.root)
        {
            return running.result.clone();
        }
        let (sender, result) = watch::channel(None);
        *running = Some(Running { groups, root: request.root, result: result.clone() });
        drop(running);
        let shared = Arc::clone(self);
        // Within the trace of who asked first.
        let span = tracing::info_span!("collect", container.count = tracing::field::Empty);
        let collection = async move {
            let began = shared.now();
            let applied = *shared.applied.borrow();
            let snapshot = Arc::new(shared.run_collection(groups, request).await);
            shared.counts.collections.add(1);
            shared.counts.collection_nanos.add(
                u64::try_from(shared.now().saturating_duration_since(began).as_nanos()).unwrap_or(u64::MAX),
            );
            *lock(&shared.latest) = Some(Latest { began, applied, snapshot: Arc::clone(&snapshot) });
            let mut running = lock(&shared.running);
            if running.as_ref().is_some_and(|running| running.result.same_channel(&sender.subscribe())) {
                *running = None;
            }
            drop(running);
            tracing::Span::current().record("container.count", snapshot.containers.len());
            let _ = sender.send(Some(snapshot));
        };
        tokio::spawn(collection.instrument(span));
        result
    }

    fn nothing_read(&self, groups: Groups) -> Read {
        let entries = lock(&self.table).entries();
        Read {
            groups,
            taken_at: SystemTime::now(),
            containers: entries.into_iter().map(|entry| (entry, None)).collect(),
            host: None,
            root: None,
        }
    }

    async fn run_collection(self: &Arc<Self>, groups: Groups, request: Request) -> Snapshot {
        let taken_at = SystemTime::now();
        let entries = lock(&self.table).entries();
        // What is counted while we watch is shown with these groups, so it is read with them.
        let counted = groups.has(Group::State) || groups.has(Group::Host);
        let host = entries.len();
        let root = host + 1;
        let results: Arc<[Mutex<Option<Sample>>]> = (0..root + 1).map(|_| Mutex::new(None)).collect();
        let job = {
            let (shared, entries, results) = (Arc::clone(self), entries.clone(), Arc::clone(&results));
            self.pool.submit(root + usize::from(request.root), move |item| {
                let sample = match entries.get(item) {
                    Some(entry) if entry.container().state.has_processes() => {
                        Some(entry.sample(groups, counted, &shared))
                    }
                    Some(_) => None,
                    None => shared.sample_host(item == root, groups),
                };
                *lock(&results[item]) = sample;
            })
        };
        let help = async {
            loop {
                sleep(STUCK_AFTER).await;
                self.pool.replace_stuck();
            }
        };
        let reading = async {
            tokio::select! {
                finished = timeout(request.deadline, job.finished()) => if finished.is_err() {
                    job.cancel();
                },
                () = help => {}
            }
        };
        reading.instrument(tracing::info_span!("read", source = "kernel")).await;
        let take = |item: usize| lock(&results[item]).take();
        let read = Read {
            groups,
            taken_at,
            host: take(host),
            root: take(root),
            containers: entries.into_iter().enumerate().map(|(item, entry)| (entry, take(item))).collect(),
        };
        tracing::info_span!("assemble").in_scope(|| assemble(self, read))
    }

    fn sample_host(&self, root: bool, groups: Groups) -> Option<Sample> {
        let mut sample = Sample::absent(Absence::NotCollected);
        if root {
            if !self.sampler.root(groups, &mut sample) {
                return None;
            }
            derive(
                &Container::new(ContainerId::new("/"), Engine::Kernel, State::Running),
                groups,
                &mut sample,
            );
            return Some(sample);
        }
        if groups.has(Group::Host) || groups.has(Group::Gpu) {
            self.sampler.host(groups, &mut sample);
        }
        Some(sample)
    }
}
