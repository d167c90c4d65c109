//! What the OpenTelemetry side of the rows must keep.

use std::collections::{BTreeMap, BTreeSet};

use metric_schema::{Instrument, Origin, OtelMetric, Values};

use super::*;

/// Metrics that OpenTelemetry has named: name, instrument, unit, keys of the points' attributes.
///
/// Semantic conventions 1.44; state and health are those of the collector's `docker_stats` receiver.
const CONVENTIONS: &[(&str, Instrument, &str, &[&str])] = {
    use Instrument::{Counter, Gauge, UpDownCounter};
    &[
        ("container.uptime", Gauge, "s", &[]),
        ("container.cpu.time", Counter, "s", &["cpu.mode"]),
        ("container.cpu.usage", Gauge, "{cpu}", &[]),
        ("container.memory.usage", UpDownCounter, "By", &[]),
        ("container.memory.available", UpDownCounter, "By", &[]),
        ("container.memory.rss", UpDownCounter, "By", &[]),
        ("container.memory.working_set", UpDownCounter, "By", &[]),
        ("container.paging.faults", Counter, "{fault}", &["system.paging.fault.type"]),
        ("container.disk.io", Counter, "By", &["disk.io.direction", "system.device"]),
        ("container.network.io", Counter, "By", &["network.interface.name", "network.io.direction"]),
        ("container.filesystem.available", UpDownCounter, "By", &[]),
        ("container.filesystem.capacity", UpDownCounter, "By", &[]),
        ("container.filesystem.usage", UpDownCounter, "By", &[]),
        ("hw.gpu.memory.limit", UpDownCounter, "By", &["hw.id", "hw.model"]),
        ("hw.gpu.memory.usage", UpDownCounter, "By", &["hw.id", "hw.model"]),
        ("hw.gpu.utilization", Gauge, "1", &["hw.gpu.task", "hw.id", "hw.model"]),
        ("container.state.status", UpDownCounter, "{container}", &["container.state.status"]),
        ("container.state.health.status", UpDownCounter, "{container}", &["container.state.health.status"]),
        ("system.cpu.logical.count", UpDownCounter, "{cpu}", &[]),
        ("system.cpu.physical.count", UpDownCounter, "{cpu}", &[]),
        ("system.memory.limit", UpDownCounter, "By", &[]),
    ]
};

/// The namespaces in which OpenTelemetry names metrics of what is measured here.
const NAMESPACES: &[&str] = &["container", "hw", "k8s", "process", "system"];

/// What of ours stands in those namespaces, as whole names or as namespaces within them, and why.
const OURS: &[(&[&str], &str)] = &[
    (
        &["container.cpu", "container.cpuset", "container.spec"],
        "of CPUs the conventions know time and use: no limits, throttling, bursts, waiting, and no configuration",
    ),
    (
        &["container.memory", "container.hugetlb", "container.oom_events"],
        "of memory the conventions know four sums and faults: no limits, parts, events, kills",
    ),
    (&["container.disk"], "the conventions know bytes; operations and merges are named beside them"),
    (&["container.fs"], "io.cost and the age of a walk: nothing in the conventions is like them"),
    (
        &["container.filesystem", "container.mount", "container.log"],
        "the conventions know bytes of the container's own file system: no inodes, no volumes, no log",
    ),
    (
        &["container.network", "container.netstat", "container.sockstat", "container.nf_conntrack"],
        "the conventions know bytes: no packets, errors, drops, sockets, nothing of TCP, UDP and IP",
    ),
    (&["container.pressure"], "the conventions have no pressure stall information"),
    (
        &["container.rdma", "container.misc", "container.dmem"],
        "the conventions know none of these controllers",
    ),
    (
        &[
            "container.processes",
            "container.threads",
            "container.threads_max",
            "container.threads_peak",
            "container.pids_events",
            "container.file_descriptors",
            "container.sockets",
            "container.tasks_state",
            "container.ulimits_soft",
        ],
        "process.* is of one process that says who it is; these are of all that a container has",
    ),
    (&["container.gpu"], "hw.gpu.* is of the device, for all who use it"),
    (
        &[
            "container.count",
            "container.creation_time",
            "container.engine_restarts",
            "container.exit_code",
            "container.finished_time",
            "container.restarts",
            "container.sample",
        ],
        "of a container's life the conventions know its uptime, and k8s.container.* is not of containers without Kubernetes",
    ),
];

/// The metrics that leave, with the rows that are points of each.
fn metrics() -> BTreeMap<&'static str, Vec<(OtelMetric, &'static Row)>> {
    let mut metrics: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (_, row) in get().iter().filter(|(_, row)| !row.hidden) {
        if let Ok(metric) = row.def.otel_metric() {
            metrics.entry(metric.name).or_default().push((metric, row));
        }
    }
    metrics
}

/// The keys that tell a row's points apart.
fn keys(metric: &OtelMetric, row: &Row) -> BTreeSet<&'static str> {
    let fixed = metric.attributes.iter().map(|(key, _)| *key);
    fixed.chain(row.def.attributes.iter().filter_map(|attribute| attribute.otel)).collect()
}

#[test]
fn a_metric_has_one_unit_and_instrument() {
    for (name, rows) in metrics() {
        let (first, first_row) = rows[0];
        for (metric, row) in &rows {
            let of = |metric: &OtelMetric, row: &Row| {
                (metric.unit.ucum(), metric.instrument, metric.origin, row.entity, row.group)
            };
            assert_eq!(of(metric, row), of(&first, first_row), "{name}: {}", row.def.name);
        }
    }
}

/// Moded points or the bare total: a total is left out where a point stands, so it must be the only one.
#[test]
fn points_of_a_metric_are_told_apart() {
    for (name, rows) in metrics() {
        let (totals, parts): (Vec<_>, Vec<_>) = rows.iter().partition(|(metric, _)| metric.is_total);
        assert!(totals.len() <= 1 && !parts.is_empty(), "{name}");
        for (metric, row) in totals {
            assert!(keys(&metric, row).is_empty(), "{name}: the total has attributes");
        }
        let fixed: BTreeSet<_> = parts.iter().map(|(metric, _)| metric.attributes).collect();
        assert_eq!(fixed.len(), parts.len(), "{name}: two rows with the same fixed attributes");
        let first = keys(&parts[0].0, parts[0].1);
        for (metric, row) in parts {
            assert_eq!(keys(&metric, row), first, "{name}: {}", row.def.name);
            let dimensions = metric.attributes.len()
                + row.def.attributes.iter().filter(|attribute| attribute.otel.is_some()).count();
            assert_eq!(dimensions, first.len(), "{name}: a key stands twice");
        }
    }
}

/// Where an attribute stands on pages only, nothing but it may tell two entries apart.
#[test]
fn attributes_that_do_not_leave_have_one_value() {
    for (metric, row) in metrics().into_values().flatten() {
        for attribute in row.def.attributes.iter().filter(|attribute| attribute.otel.is_none()) {
            assert!(matches!(attribute.values, Values::Capped(1)), "{}: {}", metric.name, attribute.name);
        }
    }
}

#[test]
fn names_of_the_conventions_are_used_as_they_are_meant() {
    let metrics = metrics();
    for (name, instrument, unit, expect) in CONVENTIONS {
        let rows = metrics.get(name).unwrap_or_else(|| panic!("{name} does not leave"));
        for (metric, row) in rows {
            assert_eq!((metric.instrument, metric.unit.ucum()), (*instrument, *unit), "{name}");
            assert_eq!(metric.origin, Origin::Convention, "{name}");
            if !metric.is_total {
                assert_eq!(keys(metric, row), expect.iter().copied().collect(), "{name}");
            }
        }
    }
    for (name, rows) in metrics {
        let known = CONVENTIONS.iter().any(|(known, ..)| *known == name);
        assert_eq!(known, rows[0].0.origin == Origin::Convention, "{name}");
    }
}

/// Whoever adds a row to a namespace of OpenTelemetry's says why it has no name there.
#[test]
fn names_beside_the_conventions_have_a_reason() {
    let mut used = BTreeSet::new();
    for (name, rows) in metrics() {
        let namespace = name.split('.').next().expect("a word");
        if rows[0].0.origin == Origin::Convention || !NAMESPACES.contains(&namespace) {
            continue;
        }
        let holds = |within: &&&str| {
            name.strip_prefix(**within).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let within: Vec<_> = OURS.iter().flat_map(|(names, _)| *names).filter(holds).collect();
        assert_eq!(within.len(), 1, "{name}: which of {within:?} says why it is ours?");
        used.extend(within);
    }
    let listed: BTreeSet<_> = OURS.iter().flat_map(|(names, _)| *names).collect();
    assert_eq!(used, listed, "no row is called so");
    assert!(OURS.iter().all(|(_, reason)| !reason.is_empty()));
}

/// A metric's name is no namespace of another's: `a.b` and `a.b.c` cannot both be drawn in a tree.
#[test]
fn names_are_no_namespaces() {
    let metrics = metrics();
    for name in metrics.keys() {
        let inside = |other: &&&str| other.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        assert_eq!(metrics.keys().find(inside), None, "{name} is a namespace too");
    }
}

/// A number that is on no page and does not leave is of use to nobody.
#[test]
fn every_row_goes_somewhere() {
    for (_, row) in get().iter().filter(|(_, row)| !row.hidden) {
        let on_pages = row.def.only_aliased.is_none() || !row.def.aliases.is_empty();
        assert!(on_pages || row.def.otel_metric().is_ok(), "{}", row.def.name);
    }
}
