//! One connection to an engine, from reaching it to losing it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use collector_core::{Change, Changes, ContainerId, Engine, EngineInfo, SourceStatus};
use http_body_util::BodyExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::Instrument as _;

use crate::{
    client::{Client, Fault, segment},
    event::{self, Event, Reading},
    framing::{Piece, Splitter},
    holdings,
    inventory::Shared,
    read::{self, ApiVersion, List, Owner, Seen},
    table::{Miss, Table},
};

/// Most bytes of a list that are read.
const LIST_BYTES_MAX: usize = 64 << 20;
/// Most bytes of an inspect, of version and of info.
const INSPECT_BYTES_MAX: usize = 4 << 20;
/// Most bytes of one event.
const EVENT_BYTES_MAX: usize = 1 << 20;
/// Events read ahead; beyond them the engine waits, or drops.
const EVENTS_AHEAD: usize = 1_024;

/// Inspects at a time.
const INSPECTS_MAX: usize = 4;
/// An inspect that hangs makes room for another after this time: the engine holds it back while that container
/// starts or stops, and the others must not wait for it.
const INSPECT_SLOW: Duration = Duration::from_millis(500);
/// Inspects that hang, at most.
const INSPECTS_SLOW_MAX: usize = 28;

/// What the engine is, is asked again after this time if it was not answered in time, and then after twice the time, …
const IDENTIFY_AGAIN: Duration = Duration::from_secs(2);
/// … up to this.
const IDENTIFY_AGAIN_MAX: Duration = Duration::from_mins(1);

/// Some engines send the head of the event stream with its first event only.
const EVENTS_HEAD: Duration = Duration::from_millis(500);

/// The actions that [`event::read`] knows, for the engine to leave out the others: execs of health checks
/// would fill its ring of events. Only Docker: old Podman joins several values by "and".
const WANTED: &str = r#"{"type":["container"],"event":["create","start","die","pause","unpause","health_status","rename","update","restart","oom","destroy"]}"#;
const WANTED_PODMAN: &str = r#"{"type":["container"]}"#;

/// The oldest API of Podman's own that Podman 4 and 5 serve.
const LIBPOD_API: &str = "4.0.0";

/// Why a session ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The collector has ended.
    Closed,
    /// Something was learned that the next session should begin with.
    Again,
    /// The engine was lost.
    Lost {
        /// One sentence.
        reason: String,
        /// A person must mend it.
        is_permission: bool,
        /// It had answered before.
        was_up: bool,
    },
}

/// What one session learns for the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// The oldest API that the engine serves, where that is newer than what its headers led to.
    pub(crate) api_min: Option<ApiVersion>,
    /// The engine is Podman, although its headers do not say so.
    pub(crate) is_podman: bool,
}

/// What the tasks of a session report to it.
enum Report {
    Event(Box<Event>),
    StreamEnded(Stop),
    Listed(Result<List, Fault>),
    Inspected(ContainerId, Result<Box<Seen>, Miss>),
    Retry(ContainerId),
    Identified(EngineInfo),
    Learned(Known),
    Lost(Fault),
    /// An inspect hangs and made room for another.
    Room,
}

/// One connection's state.
pub(crate) struct Session<'a> {
    shared: Arc<Shared>,
    changes: &'a Changes,
    table: &'a mut Table,
    client: Client,
    api: ApiVersion,
    owner: Owner,
    reports: mpsc::Sender<Report>,
    tasks: JoinSet<()>,
    inspects: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    /// An inspect that failed was told of, in this session.
    inspect_failed: Arc<AtomicBool>,
    is_listing: bool,
    wants_list: bool,
    list_not_before: Instant,
    list_due: Instant,
    whole_due: Option<Instant>,
    is_identified: bool,
    refusal: Option<Stop>,
}

/// Reaches the engine and follows it until it is lost.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    changes: &Changes,
    table: &mut Table,
    known: &mut Known,
) -> End {
    let mut was_up = false;
    match follow(shared, changes, table, known, &mut was_up).await {
        Ok(never) => match never {},
        Err(Stop::Closed) => End::Closed,
        Err(Stop::Again) => End::Again,
        Err(Stop::Fault(fault)) => {
            End::Lost { reason: fault.to_string(), is_permission: fault.is_permission(), was_up }
        }
        Err(Stop::Reason(reason)) => End::Lost { reason, is_permission: false, was_up },
    }
}

enum Stop {
    Closed,
    Again,
    Fault(Fault),
    Reason(String),
}

impl From<collector_core::Closed> for Stop {
    fn from(_: collector_core::Closed) -> Self {
        Self::Closed
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

async fn follow(
    shared: &Arc<Shared>,
    changes: &Changes,
    table: &mut Table,
    known: &mut Known,
    was_up: &mut bool,
) -> Result<std::convert::Infallible, Stop> {
    let options = &shared.options;
    let client = Client::connect(&options.endpoint, options.request_timeout, shared.requests.clone()).await?;
    // Podman's service is started by the first request, and begins with looking over its store.
    let patience = if options.optional { options.request_timeout * 3 } else { options.request_timeout };
    let hello = client.ping(patience).await?;
    let engine = if hello.is_podman || known.is_podman { Engine::Podman } else { Engine::Docker };
    let owner = Owner { engine, uid: options.uid };
    let api = ApiVersion::negotiate(hello.api, known.api_min);
    table.reconnected(owner);
    let (reports, mut inbox) = mpsc::channel(EVENTS_AHEAD);
    let now = Instant::now();
    let mut session = Session {
        shared: shared.clone(),
        changes,
        table,
        client,
        api,
        owner,
        reports,
        tasks: JoinSet::new(),
        inspects: Arc::new(Semaphore::new(INSPECTS_MAX)),
        slow: Arc::new(Semaphore::new(INSPECTS_SLOW_MAX)),
        inspect_failed: Arc::default(),
        is_listing: false,
        wants_list: true,
        list_not_before: now,
        list_due: now,
        whole_due: None,
        is_identified: false,
        refusal: None,
    };
    // The engine answers; what follows is either told to the collector or a loss.
    *was_up = true;
    changes.send(Change::Status(SourceStatus::Up(session.engine_info()))).await?;
    session.subscribe().await;
    session.identify(*known);
    session.ping();
    session.tasks.spawn(holdings::run(shared.clone(), session.client.clone(), api));
    loop {
        session.work().await?;
        let list_at = session.list_at();
        let whole_due = session.whole_due;
        tokio::select! {
            Some(report) = inbox.recv() => {
                if let Report::Learned(news) = report {
                    *known = news;
                    return Err(Stop::Again);
                }
                session.take(report).await?;
            }
            () = shared.relist.notified() => session.wants_list = true,
            () = sleep_until(list_at.unwrap_or(now)), if list_at.is_some() => session.wants_list = true,
            () = sleep_until(whole_due.unwrap_or(now)), if whole_due.is_some() => session.send_whole().await?,
            () = changes.closed() => return Err(Stop::Closed),
            Some(_) = session.tasks.join_next() => {}
        }
    }
}

impl Session<'_> {
    fn engine_info(&self) -> EngineInfo {
        EngineInfo {
            engine: self.owner.engine.as_str().to_owned(),
            api_version: self.api.to_string(),
            endpoint: self.shared.options.endpoint.to_string(),
            ..EngineInfo::default()
        }
    }

    /// When the next list is due; `None` while one is on its way or held back.
    fn list_at(&self) -> Option<Instant> {
        if self.is_listing || self.whole_due.is_some() {
            return None;
        }
        Some(if self.wants_list { self.list_not_before } else { self.list_due })
    }

    /// Starts what is due: a list, inspects.
    async fn work(&mut self) -> Result<(), Stop> {
        if self.wants_list && self.list_at().is_some_and(|at| at <= Instant::now()) {
            self.list();
        }
        while let Ok(permit) = self.inspects.clone().try_acquire_owned() {
            let Some(id) = self.table.next_inspect() else { break };
            self.inspect(id, permit);
        }
        if self.whole_due.is_some() && !self.table.is_holding() {
            self.send_whole().await?;
        }
        Ok(())
    }

    async fn take(&mut self, report: Report) -> Result<(), Stop> {
        match report {
            Report::Event(event) => {
                for change in self.table.event(&event) {
                    self.changes.send(change).await?;
                }
            }
            Report::Inspected(id, answer) => {
                let outcome = self.table.inspected(&id, answer.map(|seen| *seen));
                for change in outcome.changes {
                    self.changes.send(change).await?;
                }
                if let Some(pause) = outcome.retry {
                    let reports = self.reports.clone();
                    self.tasks.spawn(async move {
                        sleep(pause).await;
                        let _ = reports.send(Report::Retry(id)).await;
                    });
                }
            }
            Report::Retry(id) => self.table.want(&id, false),
            Report::Listed(Ok(list)) => self.listed(list),
            Report::Listed(Err(fault)) => return self.refused(fault.into()),
            Report::StreamEnded(stop) => return self.refused(stop),
            Report::Lost(fault) => return Err(fault.into()),
            Report::Identified(info) => {
                self.is_identified = true;
                if let Some(stop) = self.refusal.take() {
                    return Err(stop);
                }
                self.changes.send(Change::Status(SourceStatus::Up(info))).await?;
            }
            Report::Learned(_) | Report::Room => {}
        }
        self.shared.malformed.store(self.table.malformed(), Relaxed);
        Ok(())
    }

    /// A request was refused or broke. Before the engine has said which API it serves, a status 400 may mean that
    /// ours is too old: then it waits for that.
    fn refused(&mut self, stop: Stop) -> Result<(), Stop> {
        if !self.is_identified && matches!(&stop, Stop::Fault(fault) if fault.is_bad_request()) {
            self.refusal = Some(stop);
            return Ok(());
        }
        Err(stop)
    }

    fn list(&mut self) {
        self.is_listing = true;
        self.wants_list = false;
        self.shared.lists.fetch_add(1, Relaxed);
        self.table.list_asked();
        let now = Instant::now();
        self.list_not_before = now + self.shared.options.relist_pause;
        self.list_due = now + self.shared.options.list_interval;
        let target = format!("/v{}/containers/json?all=1", self.api);
        let (client, owner, reports) = (self.client.clone(), self.owner, self.reports.clone());
        let limit = self.shared.options.request_timeout * 3;
        let span = tracing::info_span!("list", otel.kind = "client", source = %self.shared.options.name);
        let work = async move {
            let answer = client.get(&target, limit, LIST_BYTES_MAX).await;
            let mut list = answer.and_then(|body| read::list(&body, owner).ok_or(Fault::Answer { target }));
            if let Ok(list) = &mut list
                && owner.engine == Engine::Podman
                && !list.containers.is_empty()
            {
                let pods = pods(&client, limit, None).await;
                for seen in &mut list.containers {
                    seen.container.pod = pods.get(&seen.container.id).cloned();
                }
            }
            let _ = reports.send(Report::Listed(list)).await;
        };
        self.tasks.spawn(work.instrument(span));
    }

    fn listed(&mut self, list: List) {
        self.is_listing = false;
        let left_out = self.table.left_out();
        self.table.listed(list, SystemTime::now());
        if left_out == 0 && self.table.left_out() > 0 {
            tracing::warn!(
                source = self.shared.options.name,
                left_out = self.table.left_out(),
                stopped_max = self.shared.options.stopped_max,
                "there are more stopped containers than are kept: the oldest are left out; remove them, or raise the bound"
            );
        }
        self.whole_due = Some(Instant::now() + self.shared.options.list_hold);
    }

    async fn send_whole(&mut self) -> Result<(), Stop> {
        self.whole_due = None;
        Ok(self.changes.send(self.table.whole()).await?)
    }

    fn inspect(&mut self, id: ContainerId, permit: OwnedSemaphorePermit) {
        let target = format!("/v{}/containers/{}/json", self.api, segment(id.as_str()));
        let (client, owner, reports) = (self.client.clone(), self.owner, self.reports.clone());
        let limit = self.shared.options.inspect_timeout;
        let (slow, told) = (self.slow.clone(), self.inspect_failed.clone());
        let wants_pod = owner.engine == Engine::Podman && !self.table.knows_pod(&id);
        let span = tracing::info_span!(
            "inspect",
            otel.kind = "client",
            source = %self.shared.options.name,
            container.id = id.as_str()
        );
        let work = async move {
            let asked = client.get(&target, limit, INSPECT_BYTES_MAX);
            tokio::pin!(asked);
            let mut permit = Some(permit);
            let mut lent = None;
            let answer = match timeout(INSPECT_SLOW, &mut asked).await {
                Ok(answer) => answer,
                Err(_) => {
                    lent = slow.try_acquire_owned().ok();
                    if lent.is_some() {
                        permit = None;
                        let _ = reports.send(Report::Room).await;
                    }
                    asked.await
                }
            };
            let answer = match answer {
                Ok(body) => {
                    let mut seen = read::inspect(&body, &id, owner).map(Box::new);
                    if let Some(seen) = &mut seen
                        && wants_pod
                    {
                        seen.container.pod = pods(&client, limit, Some(&id)).await.remove(&id);
                    }
                    seen.ok_or(Miss::Failed)
                }
                Err(fault) if fault.is_not_found() => Err(Miss::Gone),
                Err(fault) => {
                    // One that broke is a sign of a lost engine, which is told of as such.
                    if !matches!(fault, Fault::Timeout { .. }) || told.swap(true, Relaxed) {
                        tracing::debug!(container = id.as_str(), %fault, "failed to inspect a container");
                    } else {
                        tracing::warn!(
                            container = id.as_str(),
                            "failed to inspect a container, trying again; later failures are only counted: {fault}"
                        );
                    }
                    Err(Miss::Failed)
                }
            };
            drop((permit, lent));
            let _ = reports.send(Report::Inspected(id, answer)).await;
        };
        self.tasks.spawn(work.instrument(span));
    }

    /// Asks for events, and waits until the engine has begun to send them: what happens from then on is not lost.
    async fn subscribe(&mut self) {
        let filters = if self.owner.engine == Engine::Podman { WANTED_PODMAN } else { WANTED };
        let target = format!("/v{}/events?filters={}", self.api, segment(filters));
        let (client, reports, shared) = (self.client.clone(), self.reports.clone(), self.shared.clone());
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        self.tasks.spawn(async move {
            let stop = read_events(&client, &target, &reports, &shared, ready).await;
            let _ = reports.send(Report::StreamEnded(stop)).await;
        });
        let _ = timeout(EVENTS_HEAD, is_ready).await;
    }

    /// Asks in the background what the engine is: slow answers, since it runs programs for them.
    fn identify(&mut self, known: Known) {
        let (client, reports, api) = (self.client.clone(), self.reports.clone(), self.api);
        let mut info = self.engine_info();
        let limit = self.shared.options.request_timeout;
        self.tasks.spawn(async move {
            let mut pause = IDENTIFY_AGAIN;
            loop {
                // Without a version in its path: it must be answered even if ours is too old.
                let told = client.get("/version", limit, INSPECT_BYTES_MAX).await;
                let mut is_late = matches!(told, Err(Fault::Timeout { .. }));
                if let Ok(body) = told {
                    let version = read::version(&body);
                    let newer = version.api_min.filter(|minimum| *minimum > api);
                    let is_podman = version.is_podman && info.engine != Engine::Podman.as_str();
                    if newer.is_some() || is_podman {
                        let known = Known {
                            api_min: newer.or(known.api_min),
                            is_podman: is_podman || known.is_podman,
                        };
                        let _ = reports.send(Report::Learned(known)).await;
                        return;
                    }
                    info.version = version.version.unwrap_or_default();
                }
                let told = client.get(&format!("/v{api}/info"), limit, INSPECT_BYTES_MAX).await;
                is_late |= matches!(told, Err(Fault::Timeout { .. }));
                if let Ok(body) = told {
                    read::info(&body, &mut info);
                }
                let is_over = reports.send(Report::Identified(info.clone())).await.is_err();
                if is_over || !is_late {
                    return;
                }
                // One that was just started, or woken, may be too busy to say it yet.
                sleep(pause).await;
                pause = (pause * 2).min(IDENTIFY_AGAIN_MAX);
            }
        });
    }

    /// Pings in the background; two in a row must fail.
    fn ping(&mut self) {
        let (client, reports) = (self.client.clone(), self.reports.clone());
        let (pause, limit) = (self.shared.options.ping_interval, self.shared.options.ping_timeout);
        self.tasks.spawn(async move {
            loop {
                sleep(pause).await;
                if client.ping(limit).await.is_err()
                    && let Err(fault) = client.ping(limit).await
                {
                    let _ = reports.send(Report::Lost(fault)).await;
                    return;
                }
            }
        });
    }
}

/// The pods of all containers, or of one, by Podman's own API. A container of which this fails has none: what its engine
/// does not tell is absent.
async fn pods(
    client: &Client,
    limit: Duration,
    only: Option<&ContainerId>,
) -> HashMap<ContainerId, Arc<str>> {
    let mut target = format!("/v{LIBPOD_API}/libpod/containers/json?all=true");
    if let Some(id) = only {
        target.push_str("&filters=");
        target.push_str(&segment(&format!("{{\"id\":[\"{id}\"]}}")));
    }
    match client.get(&target, limit, LIST_BYTES_MAX).await {
        Ok(body) => read::pods(&body),
        Err(fault) => {
            tracing::debug!(%fault, "failed to ask for the names of pods");
            HashMap::new()
        }
    }
}

/// Reads events until the stream ends; says why it did.
async fn read_events(
    client: &Client,
    target: &str,
    reports: &mpsc::Sender<Report>,
    shared: &Shared,
    ready: tokio::sync::oneshot::Sender<()>,
) -> Stop {
    let (mut body, _connection) = match client.stream(target).await {
        Ok(stream) => stream,
        Err(fault) => return fault.into(),
    };
    let _ = ready.send(());
    let mut splitter = Splitter::new(EVENT_BYTES_MAX);
    let mut events = Vec::new();
    loop {
        let data = match body.frame().await {
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(error)) => return Stop::Reason(format!("the engine's event stream broke: {error}")),
            None if splitter.is_inside() => {
                return Stop::Reason("the engine's event stream ended inside an event".to_owned());
            }
            None => return Stop::Reason("the engine ended its event stream".to_owned()),
        };
        splitter.push(&data, |piece| {
            shared.events.fetch_add(1, Relaxed);
            let reading = match piece {
                Piece::Document(document) => event::read(&document),
                Piece::Junk => Reading::Malformed,
            };
            match reading {
                Reading::Event(event) => events.push(event),
                Reading::Ignored => {}
                Reading::Malformed => {
                    shared.event_errors.fetch_add(1, Relaxed);
                }
            }
        });
        for event in events.drain(..) {
            if reports.send(Report::Event(event)).await.is_err() {
                return Stop::Closed;
            }
        }
    }
}
