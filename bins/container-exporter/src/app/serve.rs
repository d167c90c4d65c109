//! `run`: serve until told to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use collector_core::{Collector, EngineInfo, SourceReport, SourceStatus};
use exporter_toolkit::{Limits, Server};
use sink_prometheus::PrometheusSink;
use tokio::signal::unix::{SignalKind, signal};

use super::otlp::{Export, FLUSH, Reloads};
use super::traces::{self, Traces};
use super::{AppError, build, http, log::Log};
use crate::config::settings::{Compression, Settings};
use crate::config::{self, Inputs, Loaded};

/// What a reload replaces.
pub(super) struct Live {
    pub(super) sink: Arc<PrometheusSink>,
    pub(super) settings: Arc<Settings>,
}

/// What handlers share.
pub(super) struct App {
    pub(super) collector: Collector,
    live: RwLock<Arc<Live>>,
    /// Every engine has said whether it is there: pages need not wait any more.
    pub(super) settled: AtomicBool,
}

impl App {
    pub(super) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// How long the start waits for the engines' first word before it says what it found.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT; SIGHUP reads the configuration again.
pub(super) async fn serve(inputs: &Inputs, loaded: Loaded) -> Result<(), AppError> {
    let settings = Arc::new(loaded.settings.clone());
    let (registry, metrics) = build::registry(settings.traces.as_ref())?;
    let metrics = Arc::new(metrics);
    let start = |traces| Traces::start(traces, Arc::clone(&metrics));
    let traces = settings.traces.as_ref().map(start).transpose()?;
    let log = Log::start(&settings.logging, traces.as_ref());
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(AppError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AppError::Signal)?;
    let hangup = signal(SignalKind::hangup()).map_err(AppError::Signal)?;

    let parts = build::parts(&settings)?;
    let sink = Arc::new(build::sink(&settings, &registry));
    let live = RwLock::new(Arc::new(Live { sink, settings: Arc::clone(&settings) }));
    let app = Arc::new(App { collector: parts.collector, live, settled: AtomicBool::new(false) });
    let server = http::routes(Server::builder(), &app, compression(&settings))
        .limits(limits(&settings))
        .bind(settings.server.listen)
        .map_err(|error| AppError::Bind { error, origin: settings.server.listen_origin.to_string() })?;
    _ = parts.stats.set(server.stats());
    let said = parts.host.unwrap_or_else(|| "simulated containers".to_owned());
    tracing::info!("container-exporter {}: {said}", env!("CARGO_PKG_VERSION"));
    tokio::spawn(say_what_was_found(Arc::clone(&app), url(server.local_addr()), parts.is_engine_named));
    let mut export = Export::start(&app, &settings, metrics, parts.otlp)?;
    let reloads = Reload {
        inputs: inputs.clone(),
        app: Arc::clone(&app),
        registry,
        log,
        otlp: export.reloads(),
        traces: traces.as_ref().map(Traces::courier),
    };
    tokio::spawn(reloads.run(hangup, loaded));

    if let Some(traces) = &settings.traces {
        let otlp_client::Settings { endpoint, protocol, .. } = &traces.client;
        tracing::info!(
            "sending traces to {endpoint} by {protocol}, {} of those that begin here",
            traces.ratio
        );
    }
    let stop_export = export.stopper();
    let served = server.serve(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: finishing what is being answered"),
            _ = interrupt.recv() => tracing::info!("SIGINT: finishing what is being answered"),
        }
        stop_export();
    });
    served.await?;
    let until = Instant::now() + FLUSH;
    export.collected().await;
    // Side by side: a receiver that takes neither has both for as long as one.
    let traces = async {
        if let Some(traces) = traces {
            traces.end(until.saturating_duration_since(Instant::now())).await;
        }
    };
    tokio::join!(export.ended(), traces);
    Ok(())
}

fn limits(settings: &Settings) -> Limits {
    let server = &settings.server;
    let mut limits = Limits::default();
    limits.connections = server.max_connections;
    limits.scrapes = server.max_scrapes;
    limits.header_bytes = server.header_bytes_max;
    limits.header_time = server.header_timeout;
    limits.write_stall_time = server.write_timeout;
    limits.response_time = server.response_timeout;
    limits.keep_alive = server.keep_alive_timeout;
    limits.drain = server.drain_timeout;
    limits
}

fn compression(settings: &Settings) -> exporter_toolkit::Compression {
    match settings.server.compression {
        Compression::Auto => exporter_toolkit::Compression::Auto,
        Compression::Always => exporter_toolkit::Compression::Always,
        Compression::Never => exporter_toolkit::Compression::Never,
    }
}

/// The address as a browser on this machine wants it.
fn url(address: std::net::SocketAddr) -> String {
    let host = if address.ip().is_unspecified() {
        "localhost".to_owned()
    } else if address.is_ipv6() {
        format!("[{}]", address.ip())
    } else {
        address.ip().to_string()
    };
    format!("http://{host}:{}/metrics", address.port())
}

/// Whether every engine has said whether it is there, and the table is filled from those that are.
pub(super) fn is_settled(sources: &[SourceReport]) -> bool {
    let engines = || sources.iter().filter(|source| !source.fallback && !source.dormant);
    let answered = |source: &SourceReport| match &source.status {
        Some(SourceStatus::Up(_)) => source.listed,
        Some(_) => true,
        None => false,
    };
    let some_up = engines().any(|source| is_up(source).is_some());
    engines().all(answered) && (some_up || sources.iter().filter(|source| source.fallback).all(answered))
}

/// Says once what was found, and from then on when an engine that was out of reach answers.
async fn say_what_was_found(app: Arc<App>, url: String, is_engine_named: bool) {
    let known = app.collector.wait_until(|collector| {
        let sources = collector.sources();
        is_settled(&sources) && sources.iter().all(|source| is_up(source).is_none_or(is_identified))
    });
    _ = tokio::time::timeout(FIRST_WORD, known).await;
    let sources = app.collector.sources();
    let mut told = BTreeMap::new();
    tell_engines(&sources, &mut told);
    let failures = failures(&sources);
    let mut explained: BTreeSet<String> = failures.keys().chain(told.keys()).cloned().collect();
    if !told.is_empty() {
        for (name, reason) in &failures {
            tracing::warn!("{name} does not answer, still trying: {reason}");
        }
    } else if is_engine_named && !failures.is_empty() {
        tracing::warn!("{}", no_engine(&sources));
    } else {
        tracing::info!("{}", no_engine(&sources));
    }
    tracing::info!("serving {url}");
    loop {
        let mut asked = false;
        // Asked at once as well as after a change: what changed during the pause is not left out.
        let told_of_change = app.collector.wait_until(|collector| {
            let sources = collector.sources();
            // Why an engine did not answer from the start may be known late: who drops packets takes his time.
            for (name, reason) in self::failures(&sources) {
                if !explained.contains(&name) {
                    tracing::warn!("{name} does not answer, still trying: {reason}");
                    explained.insert(name);
                }
            }
            tell_engines(&sources, &mut told);
            // From here on its inventory tells of each loss.
            explained.extend(told.keys().cloned());
            std::mem::replace(&mut asked, true)
        });
        told_of_change.await;
        // Containers come and go faster than anybody reads.
        tokio::time::sleep(FIRST_WORD).await;
    }
}

/// Why engines do not answer, by the names of their sources.
fn failures(sources: &[SourceReport]) -> BTreeMap<String, String> {
    let engines = sources.iter().filter(|source| !source.dormant && !source.fallback && !source.supplement);
    let of = |source: &SourceReport| match &source.status {
        Some(SourceStatus::Down(reason)) => Some((source.name.clone(), reason.clone())),
        _ => None,
    };
    engines.filter_map(of).collect()
}

fn is_up(source: &SourceReport) -> Option<&EngineInfo> {
    match &source.status {
        Some(SourceStatus::Up(engine)) if !source.fallback && !source.supplement => Some(engine),
        _ => None,
    }
}

/// An engine is up once it answers; what it says of itself comes a moment later.
fn is_identified(engine: &EngineInfo) -> bool {
    !engine.version.is_empty()
}

/// Tells of the engines that have begun to answer. `told` is how often each had when it was told of last: however short a
/// loss was, its end is told as it was.
fn tell_engines(sources: &[SourceReport], told: &mut BTreeMap<String, u64>) {
    for source in sources {
        if let Some(engine) = is_up(source)
            && source.listed
            && is_identified(engine)
            && told.insert(source.name.clone(), source.answered) != Some(source.answered)
        {
            tracing::info!(
                "{} {} (API {}) at {}: {}",
                engine.engine,
                engine.version,
                engine.api_version,
                engine.endpoint,
                containers(source.containers)
            );
        }
    }
}

fn containers(count: usize) -> String {
    format!("{count} container{}", if count == 1 { "" } else { "s" })
}

/// One line that says what is done without an engine, and why there is none.
fn no_engine(sources: &[SourceReport]) -> String {
    let reasons: Vec<String> = sources
        .iter()
        .filter(|source| !source.fallback && !source.supplement && !source.dormant)
        .map(|source| match &source.status {
            Some(SourceStatus::Down(reason)) => format!("{}: {reason}", source.name),
            _ => format!("{}: no answer so far", source.name),
        })
        .collect();
    let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    match sources.iter().find(|source| source.fallback) {
        Some(scan) => format!(
            "no engine answers{why}: still looking, and scanning cgroups for containers in the meantime (ids, no names): \
             {} found",
            scan.containers
        ),
        None => format!("no engine answers{why}: still looking"),
    }
}

/// What a reload changes.
struct Reload {
    inputs: Inputs,
    app: Arc<App>,
    registry: prometheus::Registry,
    log: Log,
    otlp: Reloads,
    traces: Option<Arc<otlp_client::Courier>>,
}

impl Reload {
    /// Reads the configuration again at each SIGHUP. A broken one changes nothing.
    async fn run(self, mut hangup: tokio::signal::unix::Signal, mut loaded: Loaded) {
        while hangup.recv().await.is_some() {
            let newer = match config::load(&self.inputs) {
                Ok(newer) => newer,
                Err(error) => {
                    let problems: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
                    tracing::error!("SIGHUP: the old configuration stays: {}", problems.join("; "));
                    continue;
                }
            };
            let changes = loaded.changes(&newer);
            for key in &changes.need_restart {
                tracing::warn!("SIGHUP: `{key}` has changed, which takes effect only after a restart");
            }
            let settings = Arc::new(newer.settings.clone());
            self.apply(&settings);
            let old = loaded.settings.traces.as_ref();
            traces::apply(self.traces.as_deref(), old, settings.traces.as_ref());
            tracing::info!("SIGHUP: configuration read again, {} keys changed", changes.applied.len());
            loaded = newer;
        }
    }

    fn apply(&self, settings: &Arc<Settings>) {
        self.app.collector.set_interval(settings.interval);
        self.app.collector.set_selection(settings.containers.selection.clone());
        self.log.set_level(settings.logging.level);
        let sink = Arc::new(build::sink(settings, &self.registry));
        let live = Live { sink, settings: Arc::clone(settings) };
        *self.app.live.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(live);
        self.otlp.apply(settings);
    }
}
