//! From settings to the parts that run: sources, sampler, collector, sink.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cgroup_reader::{Host, Roots};
use collector_core::{
    Accelerators, Collector, Inventory, KernelOptions, MountedSampler, Options as CollectorOptions,
    labels::LabelPolicy,
};
use exporter_toolkit::Stats;
use metric_schema::MetricDef;
use prometheus::Registry;
use runtime_metrics::{RuntimeMetrics, catalogue};
use sink_prometheus::{Options as SinkOptions, Profile, PrometheusSink};
use source_cgroup::{IncludeInventory, ScanInventory};
use source_docker::{Endpoint, StatsInventory, StatsSampler};
use source_sim::{Clock, SimInventory, SimSampler};
use tokio::runtime::Handle;

use super::engines::{self, Wanted};
use super::otlp::Shown;
use super::{AppError, own, users};
use crate::config::settings::{self, Settings, Source};

/// The seed of the simulated hosts: every one is the same.
const SIM_SEED: u64 = 1;

/// What `run` and `once` run on.
pub(super) struct Parts {
    pub(super) collector: Collector,
    /// Where the server's counts will be, once there is a server.
    pub(super) stats: Arc<OnceLock<Arc<Stats>>>,
    /// Where the counts of OTLP will be, while it sends.
    pub(super) otlp: Shown,
    /// How cgroups are mounted, for people; `None` for simulated containers.
    pub(super) host: Option<String>,
    /// Whether a person has named an engine, so that its absence is no ordinary thing.
    pub(super) is_engine_named: bool,
}

/// Starts the sources and the collector. On a runtime.
pub(super) fn parts(settings: &Settings) -> Result<Parts, AppError> {
    let stats: Arc<OnceLock<Arc<Stats>>> = Arc::default();
    let otlp = Shown::default();
    let own_metrics = own::rows(Arc::clone(&stats), Arc::clone(&otlp));
    let mut options = CollectorOptions::default();
    options.interval = settings.interval;
    options.selection = settings.containers.selection.clone();
    options.workers = settings.limits.workers;
    options.containers_max = settings.containers.max;
    options.stopped_max = settings.containers.stopped_max;
    options.series_per_group = settings.metrics.series_per_group;
    if let Source::Sim(count) = settings.source {
        let inventory = Arc::new(SimInventory::new(count as usize, SIM_SEED));
        let sampler = Arc::new(SimSampler::new(Clock::Real, SIM_SEED));
        let collector = Collector::start(options, vec![inventory], sampler, own_metrics);
        return Ok(Parts { collector, stats, otlp, host: None, is_engine_named: false });
    }
    // More descriptors mean fewer opens; where they may not be raised, files are opened again for each reading.
    if let Err(error) = cgroup_reader::raise_fd_limit() {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
    let mut kernel = KernelOptions::default();
    kernel.roots = roots(settings);
    kernel.fds_max = settings.limits.fds;
    kernel.layer_interval = settings.metrics.filesystem_interval;
    kernel.accelerators = accelerators(settings);
    let sampler = MountedSampler::start(kernel)?;
    let host = describe(sampler.host().as_ref());
    let wanted = if settings.source == Source::Cgroup { Vec::new() } else { engines::wanted(settings) };
    let followed: Vec<Endpoint> = wanted.iter().filter_map(|wanted| wanted.endpoint.clone().ok()).collect();
    let is_engine_named = wanted.iter().any(|wanted| wanted.is_named);
    let (inventories, polled) = inventories(settings, wanted);
    let sampler = Arc::new(StatsSampler::new(Arc::new(sampler), &polled));
    let collector = Collector::start(options, inventories, sampler.clone(), own_metrics);
    users::follow(settings, &collector, sampler, followed);
    Ok(Parts { collector, stats, otlp, host: Some(host), is_engine_named })
}

/// Who tells of GPUs, where this build has it. Nothing is loaded before somebody asks for the group.
#[cfg(feature = "gpu")]
fn accelerators(settings: &Settings) -> Option<Arc<dyn Accelerators>> {
    let mut options = gpu_reader::Options::default();
    options.proc.clone_from(&settings.cgroup.proc_root);
    Some(Arc::new(gpu_reader::NvidiaGpus::new(options)))
}

/// This build leaves it out.
#[cfg(not(feature = "gpu"))]
const fn accelerators(_: &Settings) -> Option<Arc<dyn Accelerators>> {
    None
}

fn roots(settings: &Settings) -> Roots {
    Roots { cgroup: settings.cgroup.root.clone(), proc: settings.cgroup.proc_root.clone() }
}

fn describe(host: Option<&Host>) -> String {
    let Some(host) = host else { return "no cgroups".to_owned() };
    let controllers: BTreeSet<&str> =
        host.controllers().into_iter().map(|controller| controller.as_str()).collect();
    let controllers: Vec<&str> = controllers.into_iter().collect();
    format!("cgroup {} with {}", host.layout().as_str(), controllers.join(", "))
}

/// An engine of this machine is heard within some tens of milliseconds, and then no scan is wanted.
const ENGINES_FIRST: Duration = Duration::from_millis(100);

/// The sources, and those of them that are asked for numbers, too.
fn inventories(
    settings: &Settings,
    wanted: Vec<Wanted>,
) -> (Vec<Arc<dyn Inventory>>, Vec<Arc<StatsInventory>>) {
    let mut polled = Vec::new();
    let mut found: Vec<Arc<dyn Inventory>> = Vec::new();
    for wanted in wanted {
        match engines::inventory(settings, wanted) {
            Ok(inventory) => {
                polled.push(inventory.clone());
                found.push(inventory);
            }
            Err(error) => tracing::error!("{error}"),
        }
    }
    if settings.source != Source::Docker {
        let mut options = source_cgroup::Options::default();
        if !found.is_empty() {
            options.engines_first = ENGINES_FIRST;
        }
        found.push(Arc::new(ScanInventory::new(roots(settings), options)));
    }
    if !settings.cgroup.include.is_empty() {
        let include = settings.cgroup.include.clone();
        let options = source_cgroup::Options::default();
        found.push(Arc::new(IncludeInventory::new(roots(settings), include, options)));
    }
    (found, polled)
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

/// The registry of the process's own metrics, those of its spans included where it sends them. On a runtime.
pub(super) fn registry(traces: Option<&settings::Traces>) -> Result<(Registry, RuntimeMetrics), AppError> {
    let registry = Registry::new();
    let mut builder = RuntimeMetrics::builder().process(true).tokio(Handle::current());
    if let Some(traces) = traces {
        builder = builder.service(traces.service_name());
    }
    let metrics = builder.register(&registry)?;
    Ok((registry, metrics))
}

/// What that registry always holds, for documents; [`SPANS`](catalogue::SPANS) and [`SYSTEM`](catalogue::SYSTEM) are there
/// where traces are sent.
pub(super) fn registry_rows() -> impl Iterator<Item = &'static MetricDef> {
    catalogue::PROCESS.iter().chain(catalogue::RUNTIME)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test]
    async fn the_registry_holds_what_the_documents_say() {
        let found = registry(None).expect("a new registry").0.gather();
        let found: BTreeSet<String> = found.iter().map(|family| family.name().to_owned()).collect();
        let mut documented: BTreeSet<String> = registry_rows().map(MetricDef::prometheus_name).collect();
        // It is absent where there is no limit.
        if !found.contains("process_max_fds") {
            documented.remove("process_max_fds");
        }
        assert_eq!(found, documented);
    }
}
