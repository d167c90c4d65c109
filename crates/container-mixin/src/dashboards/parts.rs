//! What several dashboards share: expressions, thresholds, links.

use collector_core::Group;
use collector_core::catalogue::{self, Entity, RowId, ids};
use metric_schema::MetricDef;
use mixin::dashboard::{Annotation, Color, Dashboard, Mapping, Panel};
use mixin::{Expr, Metric, Profile, Selector, Window, vector};

use super::{TAG, uid};
use crate::metric::{ONE_CONTAINER, metric};

/// Of what a resource's owner should look at, and of what hurts: CPU.
pub(super) const CPU_STEPS: &[(f64, Color)] = &[(0.70, Color::Orange), (0.85, Color::Red)];
/// The same of memory.
pub(super) const MEMORY_STEPS: &[(f64, Color)] = &[(0.75, Color::Orange), (0.90, Color::Red)];
/// The same of errors.
pub(super) const ERROR_STEPS: &[(f64, Color)] = &[(0.01, Color::Orange), (0.05, Color::Red)];
/// The same of latencies in seconds.
pub(super) const LATENCY_STEPS: &[(f64, Color)] = &[(0.1, Color::Orange), (0.5, Color::Red)];
/// Of what should not happen at all.
pub(super) const ANY_STEPS: &[(f64, Color)] = &[(1.0, Color::Red)];
/// Of what may happen now and then.
pub(super) const SOME_STEPS: &[(f64, Color)] = &[(1.0, Color::Orange)];
/// Of the share of time in which something waited.
pub(super) const PRESSURE_STEPS: &[(f64, Color)] = &[(0.1, Color::Orange), (0.4, Color::Red)];

/// One host.
pub(super) const HOST: &[&str] = &["job", "instance"];
/// One container, as a person reads it.
pub(super) const CONTAINER: &[&str] = &["job", "instance", "container_name"];

/// What Prometheus says of exporters of containers, and of no other targets: where every job is chosen, `$job` lets all of them in.
/// Whether a job is one of exporters is known for an hour after the last of them went.
pub(super) fn of_exporters(expr: Expr) -> Expr {
    expr.and_on(&["job"], metric(ids::MACHINE_MEMORY).select().max_over_time(Window::Fixed("1h")))
}

/// 1 for each exporter that Prometheus reaches, 0 for the others.
pub(super) fn up() -> Expr {
    of_exporters(target(&mixin::target::UP))
}

/// What Prometheus says of each target of a host.
pub(super) fn target(row: &'static MetricDef) -> Expr {
    Metric::of(row).now().max_by(HOST)
}

/// A row's series, those that are added up over containers without systemd's units: what runs in a unit would count twice.
fn counted(row: RowId, by: &[&'static str]) -> Selector {
    let of_container = by.iter().any(|label| CONTAINER_LABELS.contains(label));
    if of_container || catalogue::get().row(row).entity != Entity::Container {
        return metric(row).select();
    }
    metric(row).with_labels(&["unit"]).select().eq("unit", "")
}

/// A sum by one of these adds up nothing but one container's own series.
const CONTAINER_LABELS: &[&str] = &["container_id", "container_name"];

/// The rate of a row over the dashboard's interval.
pub(super) fn rate(row: RowId, by: &[&'static str]) -> Expr {
    counted(row, by).rate(Window::Interval).sum_by(by)
}

/// The sum of a row now.
pub(super) fn sum(row: RowId, by: &[&'static str]) -> Expr {
    counted(row, by).now().sum_by(by)
}

/// The greatest of a row now.
pub(super) fn max(row: RowId, by: &[&'static str]) -> Expr {
    metric(row).now().max_by(by)
}

/// 0 where there is nothing to add up.
pub(super) fn or_zero(expr: Expr) -> Expr {
    expr.or(vector(0.0))
}

/// CPUs in use.
pub(super) fn cpu(by: &[&'static str]) -> Expr {
    rate(ids::CPU_USAGE, by)
}

/// CPUs that may be used: the effective limit, or for cAdvisor the quota.
pub(super) fn cpu_limit(by: &[&'static str]) -> Expr {
    let quota = max(ids::CPU_SPEC_QUOTA, by).per(max(ids::CPU_SPEC_PERIOD, by));
    max(ids::CPU_LIMIT, by).or_else(quota)
}

/// Memory in use that cannot be dropped at once.
pub(super) fn memory(by: &[&'static str]) -> Expr {
    sum(ids::MEMORY_WORKING_SET, by)
}

/// Memory that may be used: the effective limit, or for cAdvisor the configured one where there is one.
pub(super) fn memory_limit(by: &[&'static str]) -> Expr {
    max(ids::MEMORY_LIMIT, by).or_else(max(ids::MEMORY_SPEC_LIMIT, by).gt(0.0))
}

/// The share of periods in which the quota stopped a container.
pub(super) fn throttled(by: &[&'static str]) -> Expr {
    rate(ids::CPU_THROTTLED_PERIODS, by).per(rate(ids::CPU_PERIODS, by))
}

/// Containers that run: 1 each.
pub(super) fn running() -> Expr {
    metric(ids::STATE_SET).select().eq("state", "running").now().equal(1.0)
}

/// Containers that run and whose check says that they are not (yet) healthy.
pub(super) fn unhealthy() -> Expr {
    metric(ids::HEALTH_STATE).now().equal(0.0).and_on(ONE_CONTAINER, running())
}

/// A link to another dashboard that keeps data source, job and time.
pub(super) fn link_to(dashboard: &str, variables: &[(&str, &str)]) -> String {
    let chosen: String =
        variables.iter().map(|(variable, value)| format!("&var-{variable}=${{{value}}}")).collect();
    format!("/d/{dashboard}?${{datasource:queryparam}}&${{job:queryparam}}{chosen}&${{__url_time_range}}")
}

/// From a table's row to the container's dashboard.
pub(super) fn row_to_container(panel: Panel) -> Panel {
    let fields = [("instance", "__data.fields.Instance"), ("name", "__data.fields.Container")];
    panel.link("This container", link_to(uid::CONTAINER, &fields))
}

/// From a line to the container's dashboard.
pub(super) fn line_to_container(panel: Panel, profile: Profile) -> Panel {
    let name = format!("__field.labels.{}", profile.label("container_name").unwrap_or("container_name"));
    let labels = [("instance", "__field.labels.instance"), ("name", name.as_str())];
    panel.link("This container", link_to(uid::CONTAINER, &labels))
}

/// A dashboard of ours: the variables job and instance, the menu of the others, marks at starts and OOM kills.
pub(super) fn dashboard(uid: &'static str, title: &'static str, description: &'static str) -> Dashboard {
    Dashboard::new(uid, title, description)
        .tags(&[TAG, "containers"])
        .siblings("Container dashboards", TAG)
        .targets(metric(ids::MACHINE_MEMORY))
}

/// Marks where a container started and where one was killed for want of memory.
pub(super) fn with_events(dashboard: Dashboard) -> Dashboard {
    dashboard
        .annotation(Annotation {
            name: "Starts",
            expr: metric(ids::START_TIME).select().changes(Window::Fixed("1m")).gt(0.0),
            text: "{container_name} on {instance}",
            color: Color::Blue,
        })
        .annotation(Annotation {
            name: "OOM kills",
            expr: metric(ids::OOM_EVENTS).increase(Window::Fixed("1m")).gt(0.0),
            text: "{container_name} on {instance}",
            color: Color::Red,
        })
}

/// The panels that the rows of a group imply, in the catalogue's order: a new row has its panel here.
pub(super) fn rows_of(group: Group, entity: Entity) -> Vec<Panel> {
    let shown = |row: &&catalogue::Row| {
        row.group == group && row.entity == entity && !row.hidden && row.def.only_aliased.is_none()
    };
    let by = if entity == Entity::Container { CONTAINER } else { HOST };
    let rows: Vec<_> = catalogue::get().iter().filter(|(_, row)| shown(row)).collect();
    // Rows of one name are one metric, of which each row has the series of a fixed label's value.
    rows.chunk_by(|(_, one), (_, next)| one.def.prometheus_name() == next.def.prometheus_name())
        .filter_map(|rows| {
            let metrics: Vec<Metric> = rows.iter().map(|(id, _)| metric(*id)).collect();
            metrics.split_first().map(|(first, others)| Panel::of_metrics(*first, others, by))
        })
        .collect()
}

/// What a container's health is called.
pub(super) const HEALTH: &[Mapping] = &[
    Mapping { value: "-1", text: "no check", color: Color::Gray },
    Mapping { value: "0", text: "unhealthy or starting", color: Color::Red },
    Mapping { value: "1", text: "healthy", color: Color::Green },
];

/// What 0 and 1 are called where 1 is good.
pub(super) const UP_DOWN: &[Mapping] = &[
    Mapping { value: "0", text: "down", color: Color::Red },
    Mapping { value: "1", text: "up", color: Color::Green },
];
