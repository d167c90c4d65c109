//! What the exporter says of itself beside what the collector counts: build, HTTP, process.

use std::sync::{Arc, OnceLock, PoisonError};

use collector_core::{OwnMetrics, Reading, Sample, catalogue::Dimension, catalogue::ids};
use exporter_toolkit::Stats;
use exposition::registry;
use prometheus::Registry;
use sink_prometheus::Extra;

use super::otlp::Shown;

/// The commit that the build was told, if it was.
pub(super) const REVISION: &str = match option_env!("CONTAINER_EXPORTER_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The rows of build and server.
pub(super) fn rows(stats: Arc<OnceLock<Arc<Stats>>>, otlp: Shown) -> OwnMetrics {
    let system = System::read();
    Box::new(move |sample| {
        sample.set_in(ids::BUILD_INFO, &[env!("CARGO_PKG_VERSION"), REVISION], Reading::int(1));
        cadvisor_version(sample, &system);
        otlp_rows(sample, &otlp);
        let Some(stats) = stats.get() else { return };
        let stats = stats.snapshot();
        for route in &stats.routes {
            let handler = route.path.as_deref().unwrap_or("other");
            for (class, count) in CLASSES.into_iter().zip(route.by_class) {
                // 2xx from the start, so that rates have a beginning; the others once there is one.
                if count > 0 || class == "2xx" {
                    sample.set_in(ids::HTTP_REQUESTS, &[handler, class], Reading::int(count));
                }
            }
        }
        for (reason, count) in stats.refused {
            sample.set_in(ids::HTTP_REFUSED, &[reason.as_str()], Reading::int(count));
        }
        sample.set(ids::HTTP_CONNECTIONS, Reading::int(stats.connections_open));
    })
}

/// What the client of OTLP counts, while there is one.
fn otlp_rows(sample: &mut Sample, otlp: &Shown) {
    let Some(stats) = otlp.read().unwrap_or_else(PoisonError::into_inner).clone() else { return };
    let stats = stats.snapshot();
    sample.set(ids::OTLP_EXPORTED, Reading::int(stats.exported));
    for (reason, points) in stats.failed {
        sample.set_in(ids::OTLP_FAILED, &[reason.as_str()], Reading::int(points));
    }
    sample.set(ids::OTLP_INFLIGHT, Reading::int(stats.inflight));
    sample.set(ids::OTLP_QUEUE_BYTES, Reading::int(stats.queue_bytes));
    sample.set(ids::OTLP_QUEUE_LIMIT, Reading::int(stats.queue_bytes_max));
    sample.set(ids::OTLP_OPERATIONS, Reading::int(stats.operations));
    sample.set(ids::OTLP_OPERATION_SECONDS, Reading::float(Some(stats.operation_duration.as_secs_f64())));
    sample.set(ids::OTLP_REQUESTS, Reading::int(stats.attempts));
}

/// What does not change while the process runs.
struct System {
    kernel: String,
    os: String,
}

impl System {
    fn read() -> Self {
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        Self { kernel, os: name.unwrap_or("").trim_matches('"').to_owned() }
    }
}

/// The versions that cAdvisor reports, the engine's as it said.
fn cadvisor_version(sample: &mut Sample, system: &System) {
    let engine = Dimension::EngineInfo.labels().iter().position(|label| *label == "engine");
    let version = Dimension::EngineInfo.labels().iter().position(|label| *label == "version");
    let docker = sample.table(Dimension::EngineInfo).entries.iter().find_map(|entry| {
        let is_docker = entry.labels.get(engine?)?.as_ref() == "docker";
        is_docker.then(|| entry.labels.get(version?).map(|version| version.to_string()))?
    });
    let labels = [
        system.kernel.as_str(),
        system.os.as_str(),
        docker.as_deref().unwrap_or(""),
        env!("CARGO_PKG_VERSION"),
        REVISION,
    ];
    sample.set_in(ids::CADVISOR_VERSION, &labels, Reading::int(1));
}

/// The families of the process's registry, those that the request wants.
pub(super) fn registry_families(own: Registry) -> Extra {
    Arc::new(move |encoder, wanted| {
        let mut families = own.gather();
        families.retain(|family| wanted.has(family.name()));
        let skipped = registry::write(encoder, &families);
        if !skipped.is_empty() {
            tracing::debug!(?skipped, "families of the process left out");
        }
    })
}
