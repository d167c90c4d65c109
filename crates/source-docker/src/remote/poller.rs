//! Asks an engine for numbers, in the background: the oldest first, a few at a time.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use collector_core::{Absence, Change, Container, ContainerId, SourceStatus};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{sleep, sleep_until},
};
use tracing::Instrument as _;

use super::{
    Polled, REQUESTS_MAX, StatsOptions,
    body::{self, Answer, Stats},
};
use crate::{
    Options,
    client::{Client, Fault, RequestCounts, segment},
    read::ApiVersion,
};

/// Most bytes of an answer that are read: one of a machine with 512 CPUs and many devices has some 100 kB.
const STATS_BYTES_MAX: usize = 1 << 20;

/// What is known of one engine's containers: the poller writes, probes read.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) options: StatsOptions,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The API to ask by, while the engine answers.
    api: Option<ApiVersion>,
    /// Rises each time the engine comes back.
    session: u64,
    items: HashMap<ContainerId, Item>,
}

#[derive(Debug)]
struct Item {
    container: Arc<Container>,
    /// Rises with each run, so that the numbers of an earlier one are told from those of this.
    run: u64,
    asked: Option<Instant>,
    is_open: bool,
    newest: Option<(Instant, Arc<Stats>)>,
    failed: Option<Absence>,
}

/// What a probe copies.
#[derive(Debug)]
pub(super) struct Newest {
    pub(super) container: Arc<Container>,
    /// The newest numbers of the current run and when they came.
    pub(super) stats: Option<(Instant, Arc<Stats>)>,
    /// Why the last request has none.
    pub(super) failed: Option<Absence>,
}

/// One request that is due.
struct Due {
    id: ContainerId,
    run: u64,
}

impl Board {
    pub(super) fn new(options: StatsOptions) -> Self {
        Self { options, state: Mutex::default(), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wants(&self, container: &Container) -> bool {
        match self.options.polled {
            Polled::All => true,
            Polled::Sandboxed => container.is_sandboxed(),
        }
    }

    /// Takes in what the inventory tells the collector, before the collector hears it.
    pub(super) fn note(&self, change: &Change) {
        let mut state = self.state();
        match change {
            Change::Listed(containers) => {
                let listed: HashSet<&ContainerId> =
                    containers.iter().map(|container| &container.id).collect();
                state.items.retain(|id, _| listed.contains(id));
                containers.iter().for_each(|container| self.upsert(&mut state, container));
            }
            Change::Upsert(container) => self.upsert(&mut state, container),
            Change::Gone(id) => {
                state.items.remove(id);
            }
            Change::Status(SourceStatus::Up(info)) => {
                if state.api.is_none() {
                    state.session += 1;
                }
                state.api = ApiVersion::parse(&info.api_version).or(state.api).or(Some(ApiVersion::OURS));
            }
            Change::Status(_) => state.api = None,
            _ => {}
        }
        drop(state);
        self.changed.notify_one();
    }

    fn upsert(&self, state: &mut State, container: &Container) {
        if !self.wants(container) {
            state.items.remove(&container.id);
            return;
        }
        let item = state.items.entry(container.id.clone()).or_insert_with(|| Item {
            container: Arc::new(container.clone()),
            run: 0,
            asked: None,
            is_open: false,
            newest: None,
            failed: None,
        });
        if is_another_run(&item.container, container) {
            item.run += 1;
            item.asked = None;
            item.newest = None;
            item.failed = None;
        }
        item.container = Arc::new(container.clone());
    }

    /// Whether the numbers of this container come from here.
    pub(super) fn has(&self, id: &ContainerId) -> bool {
        self.state().items.contains_key(id)
    }

    pub(super) fn newest(&self, id: &ContainerId) -> Option<Newest> {
        let state = self.state();
        let item = state.items.get(id)?;
        Some(Newest {
            container: Arc::clone(&item.container),
            stats: item.newest.clone(),
            failed: item.failed,
        })
    }

    /// The request that is due longest, or when the next will be.
    fn next(&self, now: Instant) -> Result<Due, Option<Instant>> {
        let mut state = self.state();
        if state.api.is_none() {
            return Err(None);
        }
        let runs = |item: &&mut Item| item.container.state.has_processes() && !item.is_open;
        let Some(item) = state.items.values_mut().filter(runs).min_by_key(|item| item.asked) else {
            return Err(None);
        };
        match item.asked.map(|asked| asked + self.options.interval) {
            Some(due) if due > now => Err(Some(due)),
            _ => {
                item.asked = Some(now);
                item.is_open = true;
                Ok(Due { id: item.container.id.clone(), run: item.run })
            }
        }
    }

    fn answered(&self, due: &Due, answer: Result<Answer, Absence>) {
        let mut state = self.state();
        let Some(item) = state.items.get_mut(&due.id) else { return };
        item.is_open = false;
        if item.run != due.run {
            return;
        }
        match answer {
            Ok(Answer::Stats(stats)) => {
                item.newest = Some((Instant::now(), stats.into()));
                item.failed = None;
            }
            Ok(Answer::NotRunning) => item.failed = Some(Absence::NotRunning),
            Err(reason) => item.failed = Some(reason),
        }
    }

    fn api(&self) -> Option<(ApiVersion, u64)> {
        let state = self.state();
        Some((state.api?, state.session))
    }
}

fn is_another_run(old: &Container, new: &Container) -> bool {
    let differ =
        |old: Option<u32>, new: Option<u32>| matches!((old, new), (Some(old), Some(new)) if old != new);
    old.state.has_processes() != new.state.has_processes() || differ(old.pid, new.pid)
}

/// Asks for ever; ends when it is dropped, with the requests that are open.
pub(super) async fn run(board: Arc<Board>, options: Options, counts: Arc<RequestCounts>) {
    let mut open = JoinSet::new();
    // The files of TLS are read again after each loss, as the inventory's session does.
    let mut client: Option<(u64, Client)> = None;
    loop {
        let mut wake = None;
        while open.len() < REQUESTS_MAX {
            let due = match board.next(Instant::now()) {
                Ok(due) => due,
                Err(at) => {
                    wake = at;
                    break;
                }
            };
            let Some((api, session)) = board.api() else { break };
            if client.as_ref().is_none_or(|(made_in, _)| *made_in != session) {
                client = Client::new(&options.endpoint, options.request_timeout, counts.clone())
                    .map(|client| (session, client))
                    .ok();
            }
            let Some((_, client)) = &client else {
                board.answered(&due, Err(Absence::NotReachable));
                continue;
            };
            let span = tracing::info_span!("stats", otel.kind = "client", container.id = due.id.as_str());
            open.spawn(ask(board.clone(), client.clone(), api, due).instrument(span));
        }
        tokio::select! {
            Some(_) = open.join_next() => {}
            () = board.changed.notified() => {}
            () = async {
                match wake {
                    Some(at) => sleep_until(at.into()).await,
                    None => sleep(board.options.interval).await,
                }
            } => {}
        }
    }
}

/// Path and query of a request for numbers.
pub(super) fn stats_target(api: ApiVersion, id: &ContainerId) -> String {
    // Without it the engine waits for two ticks of its own, to give a percentage that we compute ourselves.
    let one_shot = if api >= ApiVersion::ONE_SHOT { "&one-shot=true" } else { "" };
    format!("/v{api}/containers/{}/stats?stream=false{one_shot}", segment(id.as_str()))
}

async fn ask(board: Arc<Board>, client: Client, api: ApiVersion, due: Due) {
    let target = stats_target(api, &due.id);
    let answer = match client.get(&target, board.options.timeout, STATS_BYTES_MAX).await {
        Ok(text) => body::read(&text).ok_or(Absence::Malformed),
        Err(fault) => {
            tracing::debug!(container = due.id.as_str(), %fault, "failed to get the numbers of a container");
            Err(reason(&fault))
        }
    };
    board.answered(&due, answer);
}

fn reason(fault: &Fault) -> Absence {
    if fault.is_forbidden() {
        Absence::PermissionDenied
    } else if fault.is_not_found() {
        Absence::NotRunning
    } else if fault.is_timeout() {
        Absence::Timeout
    } else {
        Absence::NotReachable
    }
}
