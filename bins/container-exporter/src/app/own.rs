//! What the exporter says of itself beside what the collector counts: build, HTTP, process.

use std::sync::{Arc, OnceLock};

use collector_core::{OwnMetrics, Reading, catalogue::ids};
use exporter_toolkit::Stats;
use exposition::registry;
use prometheus::Registry;
use sink_prometheus::Extra;

/// The commit that the build was told, if it was.
pub(super) const REVISION: &str = match option_env!("CONTAINER_EXPORTER_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The rows of build and server.
pub(super) fn rows(stats: Arc<OnceLock<Arc<Stats>>>) -> OwnMetrics {
    Box::new(move |sample| {
        sample.set_in(ids::BUILD_INFO, &[env!("CARGO_PKG_VERSION"), REVISION], Reading::int(1));
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
