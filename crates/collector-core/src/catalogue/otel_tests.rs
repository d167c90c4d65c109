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
