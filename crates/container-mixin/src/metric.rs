//! Rows of the catalogue as what expressions are built from.

use collector_core::catalogue::{self, Entity, RowId, Source, ids};
use metric_schema::MetricDef;
use mixin::Metric;

/// What identifies a container's series.
pub const IDENTITY: &[&str] = &["container_id", "container_name", "image"];

/// What identifies a container in a join: an id is one container's on one instance.
pub const ONE_CONTAINER: &[&str] = &["job", "instance", "container_id"];

/// What a person knows a container by.
pub const BY_NAME: &[&str] = &["job", "instance", "container_name"];

/// The labels that `container_info` can have beside the identity.
pub const INFO_LABELS: &[&str] =
    &["engine", "image_id", "runtime", "compose_project", "compose_service", "pod", "uid"];

/// A row of the catalogue.
#[must_use]
pub fn metric(row: RowId) -> Metric {
    let row = catalogue::get().row(row);
    let metric = Metric::of(&row.def);
    let metric = if row.entity == Entity::Container { metric.identified(IDENTITY) } else { metric };
    if matches!(row.source, Source::Info(_)) { metric.with_labels(INFO_LABELS) } else { metric }
}

/// A row of `runtime_metrics::catalogue`: of the process, of Tokio or of spans.
#[must_use]
pub const fn runtime(row: &'static MetricDef) -> Metric {
    Metric::of(row)
}

/// `container_info`, to be joined: its value is 1.
#[must_use]
pub fn info() -> Metric {
    metric(ids::INFO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mixin::{Scope, Window};

    #[test]
    fn a_row_carries_the_labels_of_its_series() {
        let used = metric(ids::NETWORK_RECEIVE_BYTES)
            .rate(Window::Fixed("5m"))
            .sum_by(&["container_name", "interface"]);
        let text = used.render(&Scope::default()).expect("both are labels").text;
        assert_eq!(
            text,
            "sum(rate(container_network_receive_bytes_total[5m])) by (container_name, interface)"
        );
        let host = metric(ids::CONTAINER_COUNT).now().sum_by(&["container_name"]);
        assert!(host.render(&Scope::default()).is_err(), "the host is no container");
    }
}
