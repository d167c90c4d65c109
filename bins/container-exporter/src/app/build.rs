//! From settings to the parts that run: sources, sampler, collector, sink.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use cgroup_reader::Roots;
use collector_core::{
    Collector, Inventory, KernelOptions, KernelSampler, Options as CollectorOptions, Sampler,
    labels::LabelPolicy,
};
use exporter_toolkit::Stats;
use prometheus::Registry;
use runtime_metrics::RuntimeMetrics;
use sink_prometheus::{Options as SinkOptions, Profile, PrometheusSink};
use source_cgroup::{IncludeInventory, ScanInventory};
use source_docker::{
    Candidate, Endpoint, PodmanStore, Polled, StatsInventory, StatsOptions, StatsSampler, discover,
};
use source_sim::{Clock, SimInventory, SimSampler};

use super::{AppError, own, users};
use crate::config::settings::{self, Settings, Source};

/// The seed of the simulated hosts: every one is the same.
const SIM_SEED: u64 = 1;

/// Stopped containers that are taken from an engine in any case. The collector keeps to the configured bound; the
/// engine's has to be wider, or containers that rules exclude would displace those that are wanted.
pub(super) const STOPPED_LISTED: usize = 2_000;

/// What `run` and `once` run on.
pub(super) struct Parts {
    pub(super) collector: Collector,
    /// Where the server's counts will be, once there is a server.
    pub(super) stats: Arc<OnceLock<Arc<Stats>>>,
    /// How cgroups are mounted, for people; `None` for simulated containers.
    pub(super) host: Option<String>,
    /// Whether a person has named an engine, so that its absence is no ordinary thing.
    pub(super) is_engine_named: bool,
}

/// Starts the sources and the collector. On a runtime.
pub(super) fn parts(settings: &Settings) -> Result<Parts, AppError> {
    let stats: Arc<OnceLock<Arc<Stats>>> = Arc::default();
    let own_metrics = own::rows(Arc::clone(&stats));
    let mut options = CollectorOptions::default();
    options.interval = settings.interval;
    options.selection = settings.containers.selection.clone();
    options.workers = settings.limits.workers;
    options.containers_max = settings.containers.max;
    options.stopped_max = settings.containers.stopped_max;
    if let Source::Sim(count) = settings.source {
        let inventory = Arc::new(SimInventory::new(count as usize, SIM_SEED));
        let sampler = Arc::new(SimSampler::new(Clock::Real, SIM_SEED));
        let collector = Collector::start(options, vec![inventory], sampler, own_metrics);
        return Ok(Parts { collector, stats, host: None, is_engine_named: false });
    }
    // More descriptors mean fewer opens; where they may not be raised, files are opened again for each reading.
    if let Err(error) = cgroup_reader::raise_fd_limit() {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
    let mut kernel = KernelOptions::default();
    kernel.roots = roots(settings);
    kernel.fds_max = settings.limits.fds;
    kernel.layer_interval = settings.metrics.filesystem_interval;
    let sampler = KernelSampler::start(&kernel)?;
    let host = describe(&sampler);
    let wanted = if settings.source == Source::Cgroup { Vec::new() } else { candidates(settings) };
    let followed: Vec<Endpoint> = wanted.iter().filter_map(|wanted| wanted.endpoint.clone().ok()).collect();
    let is_engine_named = wanted.iter().any(|wanted| wanted.is_named);
    let (inventories, polled) = inventories(settings, wanted);
    let sampler: Arc<dyn Sampler> = Arc::new(StatsSampler::new(Arc::new(sampler), &polled));
    let collector = Collector::start(options, inventories, sampler, own_metrics);
    if settings.source != Source::Cgroup {
        users::follow(settings, &collector, followed);
    }
    Ok(Parts { collector, stats, host: Some(host), is_engine_named })
}

fn roots(settings: &Settings) -> Roots {
    Roots { cgroup: settings.cgroup.root.clone(), proc: settings.cgroup.proc_root.clone() }
}

fn describe(sampler: &KernelSampler) -> String {
    let host = sampler.host();
    let controllers: BTreeSet<&str> =
        host.controllers().into_iter().map(|controller| controller.as_str()).collect();
    let controllers: Vec<&str> = controllers.into_iter().collect();
    format!("cgroup {} with {}", host.layout().as_str(), controllers.join(", "))
}

/// The sources, and those of them that are asked for numbers, too.
fn inventories(
    settings: &Settings,
    wanted: Vec<Wanted>,
) -> (Vec<Arc<dyn Inventory>>, Vec<Arc<StatsInventory>>) {
    let mut polled = Vec::new();
    let mut found: Vec<Arc<dyn Inventory>> = Vec::new();
    for candidate in wanted {
        match candidate.endpoint {
            Ok(endpoint) => {
                if endpoint.is_exposed() {
                    tracing::warn!(
                        "{endpoint} is spoken to without TLS: anyone on the way can read along and become root on that \
                         machine; set docker.cert_path, and the engine's --tlsverify"
                    );
                }
                let mut options = source_docker::Options::default();
                options.name = candidate.name;
                options.endpoint = endpoint;
                options.uid = candidate.uid;
                options.stopped_max = settings.containers.stopped_max.max(STOPPED_LISTED);
                options.optional = candidate.optional;
                options.store = candidate.store;
                let stats = stats_options(settings, &options.endpoint);
                let inventory = Arc::new(StatsInventory::new(options, stats));
                polled.push(inventory.clone());
                found.push(inventory);
            }
            Err(error) => tracing::error!("{error}"),
        }
    }
    if settings.source != Source::Docker {
        found.push(Arc::new(ScanInventory::new(roots(settings), source_cgroup::Options::default())));
    }
    if !settings.cgroup.include.is_empty() {
        let include = settings.cgroup.include.clone();
        let options = source_cgroup::Options::default();
        found.push(Arc::new(IncludeInventory::new(roots(settings), include, options)));
    }
    (found, polled)
}

/// The kernel counts the containers of engines on this machine, but for those of sandboxed runtimes.
fn stats_options(settings: &Settings, endpoint: &Endpoint) -> StatsOptions {
    let polled = if endpoint.is_remote() { Polled::All } else { Polled::Sandboxed };
    let mut options = StatsOptions::new(polled);
    options.interval = settings.interval;
    options.max_age = settings.remote_max_age;
    options
}

/// An engine to follow.
struct Wanted {
    name: String,
    endpoint: Result<Endpoint, source_docker::EndpointError>,
    uid: Option<u32>,
    /// Nobody asked for it by name: silent until it is there.
    optional: bool,
    /// A person asked for it: in the configuration or by `DOCKER_HOST`.
    is_named: bool,
    /// Where names are read while the engine cannot be asked.
    store: Option<PodmanStore>,
}

/// The engines that the configuration names, and those in the usual places.
fn candidates(settings: &Settings) -> Vec<Wanted> {
    let usual = discover(&|name| std::env::var(name).ok(), Path::new("/"));
    let mut wanted = Vec::new();
    for (kind, engine) in [("docker", &settings.docker), ("podman", &settings.podman)] {
        let off = !engine.enabled || (kind == "podman" && settings.source == Source::Docker);
        if off {
            continue;
        }
        match &engine.sockets {
            settings::Sockets::Only(paths) => {
                let local = paths.iter().cloned().map(Endpoint::Unix);
                wanted.extend(named(kind, local.chain(engine.remotes.iter().cloned())));
            }
            settings::Sockets::Auto => {
                let of_kind = usual.iter().filter(|candidate| candidate.engine.as_str() == kind);
                wanted.extend(of_kind.map(|candidate| from_usual(candidate, settings)));
            }
        }
    }
    wanted
}

fn named(kind: &str, endpoints: impl Iterator<Item = Endpoint>) -> impl Iterator<Item = Wanted> {
    endpoints.enumerate().map(move |(index, endpoint)| Wanted {
        name: if index == 0 { kind.to_owned() } else { format!("{kind}-{}", index + 1) },
        endpoint: Ok(endpoint),
        uid: None,
        optional: false,
        is_named: true,
        store: None,
    })
}

fn from_usual(candidate: &Candidate, settings: &Settings) -> Wanted {
    // A user's store is found by the uid, once the user's engines are looked for.
    let store = (candidate.name == "podman" && candidate.origin == "default")
        .then(|| PodmanStore::of_system(Path::new("/")).with_proc(&settings.cgroup.proc_root));
    Wanted {
        name: candidate.name.clone(),
        endpoint: candidate.endpoint.clone(),
        uid: candidate.uid,
        optional: candidate.origin == "default" && candidate.name != "docker",
        is_named: candidate.origin != "default",
        store,
    }
}

/// The sink for these settings. Made anew when they change.
pub(super) fn sink(settings: &Settings, registry: &Registry) -> PrometheusSink {
    let mut options = SinkOptions::default();
    options.profile = match settings.metrics.profile {
        settings::Profile::Native => Profile::Native,
        settings::Profile::Cadvisor => Profile::Cadvisor,
    };
    options.groups = settings.metrics.groups;
    options.off = settings.metrics.off;
    options.on_series.clone_from(&settings.labels.on_series);
    options.native_labels =
        LabelPolicy::new(settings.labels.max_per_container, settings.labels.max_value_bytes);
    options.extra = Some(own::registry_families(registry.clone()));
    PrometheusSink::new(options)
}

/// The registry of the process's own metrics.
pub(super) fn registry() -> Result<Registry, AppError> {
    let registry = Registry::new();
    RuntimeMetrics::builder().process(true).register(&registry)?;
    Ok(registry)
}
