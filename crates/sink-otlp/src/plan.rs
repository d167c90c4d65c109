//! The catalogue as metrics of OTLP: what is the same in each export, made once.

use collector_core::{
    Container, Group, Groups, Reading, Value,
    catalogue::{self, Birth, Dimension, Entity, InfoLabels, Row, RowId, Source},
};
use metric_schema::{Conversion, Instrument, OtelMetric, Unit, Values};

use crate::{
    Names,
    batch::{CUMULATIVE, MetricHead, PointValue, field},
    wire,
};

/// What leaves.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) names: Names,
    /// The metrics of containers.
    pub(crate) containers: Vec<MetricPlan>,
    /// Those of the host and of the exporter.
    pub(crate) own: Vec<MetricPlan>,
    /// The formulas of the info rows; [`Read::Info`] points here.
    pub(crate) infos: Vec<fn(&Container) -> InfoLabels>,
    /// How many series without a table there can be at most.
    pub(crate) slots: usize,
}

/// One metric.
#[derive(Debug)]
pub(crate) struct MetricPlan {
    name: String,
    pub(crate) head: MetricHead,
    /// Containers without processes have no points in it.
    pub(crate) running_only: bool,
    /// The total, where there is one, is the last.
    pub(crate) rows: Vec<RowPlan>,
}

/// One row of the catalogue.
#[derive(Debug)]
pub(crate) struct RowPlan {
    pub(crate) id: RowId,
    pub(crate) entity: Entity,
    pub(crate) group: Group,
    pub(crate) read: Read,
    /// The fixed attributes, encoded.
    pub(crate) fixed: Vec<u8>,
    /// Says nothing for gauges: they have no start.
    pub(crate) birth: Birth,
    conversion: Conversion,
    /// Whether it has a fraction by its nature: then all its points are doubles.
    is_fraction: bool,
    /// Left out where another row of the metric has a point.
    pub(crate) is_total: bool,
}

/// Where a row's value is. A slot is the place of a series among those that are known to have left.
#[derive(Debug)]
pub(crate) enum Read {
    /// In the sample.
    Sample { slot: usize },
    /// In the engine's description.
    Engine { read: fn(&Container) -> Reading, slot: usize },
    /// One point for each state, with its attributes encoded.
    States { current: fn(&Container) -> Option<usize>, first: usize, attributes: Vec<Vec<u8>> },
    /// 1, with the attributes of that place among a container's `infos`.
    Info { place: usize, slot: usize },
    /// In a table of the sample.
    Table(TablePlan),
}

/// A column of a table.
#[derive(Debug)]
pub(crate) struct TablePlan {
    pub(crate) dimension: Dimension,
    pub(crate) column: usize,
    /// The attributes that tell its points apart: place in an entry's labels, and key.
    pub(crate) shown: Vec<(usize, &'static str)>,
    /// The most entries of one entity.
    pub(crate) entries_max: usize,
}

impl Plan {
    pub(crate) fn new(names: Names, groups: Groups) -> Self {
        let mut plan = Self { names, containers: Vec::new(), own: Vec::new(), infos: Vec::new(), slots: 0 };
        let shown = |row: &Row| !row.hidden && groups.has(row.group);
        for (id, row) in catalogue::get().iter().filter(|(_, row)| shown(row)) {
            if let Some(metric) = Leaving::of(row, names) {
                plan.add(id, row, &metric);
            }
        }
        for metric in plan.containers.iter_mut().chain(&mut plan.own) {
            metric.rows.sort_by_key(|row| row.is_total);
        }
        plan
    }

    fn add(&mut self, id: RowId, row: &'static Row, metric: &Leaving) {
        let read = self.read(id, row, metric);
        let fixed = encode(metric.attributes);
        let is_sum = metric.instrument != Instrument::Gauge;
        let planned = RowPlan {
            id,
            entity: row.entity,
            group: row.group,
            read,
            fixed,
            birth: if is_sum { row.birth() } else { Birth::Unknown },
            conversion: metric.conversion,
            is_fraction: matches!(
                row.def.unit,
                Unit::Seconds | Unit::UnixSeconds | Unit::Cores | Unit::Percent
            ),
            is_total: metric.is_total,
        };
        let metrics = if row.entity == Entity::Container { &mut self.containers } else { &mut self.own };
        if let Some(known) = metrics.iter_mut().find(|known| known.name == metric.name) {
            return known.rows.push(planned);
        }
        metrics.push(MetricPlan {
            head: metric.head(),
            name: metric.name.clone(),
            running_only: row.group != collector_core::Group::State,
            rows: vec![planned],
        });
    }

    fn slot(&mut self, many: usize) -> usize {
        self.slots += many;
        self.slots - many
    }

    fn read(&mut self, id: RowId, row: &'static Row, metric: &Leaving) -> Read {
        let key = |attribute: &metric_schema::Attribute| match self.names {
            Names::Semconv => attribute.otel,
            Names::Prometheus => Some(attribute.name),
        };
        if let Some((dimension, column)) = catalogue::get().column(id) {
            let shown = dimension.labels().iter().enumerate().filter_map(|(at, name)| {
                let attribute = row.def.attributes.iter().find(|attribute| attribute.name == *name)?;
                Some((at, key(attribute)?))
            });
            let shown = shown.collect();
            return Read::Table(TablePlan { dimension, column, shown, entries_max: row.entries_max() });
        }
        match row.source {
            Source::Engine(read) => Read::Engine { read, slot: self.slot(1) },
            Source::StateSet(current) => {
                let attribute = row.def.attributes.first();
                let (key, values) = attribute.map_or(("state", &[][..]), |attribute| {
                    let values = match attribute.values {
                        Values::Closed(values) => values,
                        Values::Capped(_) | Values::Given => &[],
                    };
                    (key(attribute).unwrap_or(attribute.name), values)
                });
                let with = |value: &&'static str| encode(&[metric.attributes, &[(key, *value)]].concat());
                let attributes: Vec<_> = values.iter().map(with).collect();
                Read::States { current, first: self.slot(attributes.len()), attributes }
            }
            Source::Info(labels) => {
                self.infos.push(labels);
                Read::Info { place: self.infos.len() - 1, slot: self.slot(1) }
            }
            _ => Read::Sample { slot: self.slot(1) },
        }
    }
}

/// As what a row leaves under a naming.
struct Leaving {
    name: String,
    unit: &'static str,
    instrument: Instrument,
    attributes: &'static [(&'static str, &'static str)],
    conversion: Conversion,
    is_total: bool,
}

impl Leaving {
    fn of(row: &Row, names: Names) -> Option<Self> {
        match names {
            Names::Semconv => {
                let OtelMetric { name, unit, instrument, attributes, conversion, is_total, .. } =
                    row.def.otel_metric().ok()?;
                let name = name.to_owned();
                Some(Self { name, unit: unit.ucum(), instrument, attributes, conversion, is_total })
            }
            Names::Prometheus => {
                if row.def.only_aliased.is_some() {
                    return None;
                }
                let name = row.def.prometheus_name();
                Some(Self {
                    unit: unit_that_adds_nothing(&name, row.def.unit),
                    name,
                    instrument: row.def.instrument,
                    attributes: row.def.labels,
                    conversion: Conversion::AsIs,
                    is_total: false,
                })
            }
        }
    }

    fn head(&self) -> MetricHead {
        let mut head = Vec::new();
        wire::bytes(&mut head, field::NAME, self.name.as_bytes());
        if !self.unit.is_empty() {
            wire::bytes(&mut head, field::UNIT, self.unit.as_bytes());
        }
        let mut data_head = Vec::new();
        if self.instrument == Instrument::Gauge {
            return MetricHead { head, data: field::GAUGE, data_head };
        }
        wire::number(&mut data_head, field::TEMPORALITY, CUMULATIVE);
        if self.instrument == Instrument::Counter {
            wire::number(&mut data_head, field::MONOTONIC, 1);
        }
        MetricHead { head, data: field::SUM, data_head }
    }
}

/// The unit, unless a receiver that makes Prometheus names of names and units would change the name by it: then none.
fn unit_that_adds_nothing(name: &str, unit: Unit) -> &'static str {
    let is_named = |suffix| name.split('_').any(|word| word == suffix);
    match unit {
        // A gauge without unit becomes a `_ratio`.
        Unit::One => "",
        Unit::Count(annotation) if !annotation.starts_with('{') => "",
        Unit::Cores | Unit::Count(_) => unit.ucum(),
        _ if unit.prometheus_suffix().is_some_and(is_named) => unit.ucum(),
        _ => "",
    }
}

/// Attributes of a point.
fn encode(attributes: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in attributes {
        wire::attribute(&mut out, field::ATTRIBUTES, key, value);
    }
    out
}

/// What a value is seen against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Nanoseconds since 1970.
    pub(crate) now: u64,
    /// Whether there are processes.
    pub(crate) running: bool,
}

impl RowPlan {
    /// The value of the point that a reading makes; `None` where it makes none.
    #[inline]
    pub(crate) fn value(&self, reading: Reading, moment: Moment) -> Option<PointValue> {
        let value = reading.value()?;
        match self.conversion {
            Conversion::UnlessZero if value.as_f64() == 0.0 => None,
            Conversion::AsIs | Conversion::UnlessZero => Some(self.number(value)),
            Conversion::PerHundred => Some(PointValue::Double(value.as_f64() / 100.0)),
            Conversion::PerMillion => Some(PointValue::Double(value.as_f64() / 1e6)),
            Conversion::Age => match value {
                Value::Nanos(since) if moment.running => {
                    Some(PointValue::Double(Value::Nanos(moment.now.saturating_sub(since)).as_f64()))
                }
                _ => None,
            },
            // A conversion that this crate does not know yet.
            _ => None,
        }
    }

    /// A whole number, wherever that loses nothing.
    #[inline]
    fn number(&self, value: Value) -> PointValue {
        let double = PointValue::Double(value.as_f64());
        if self.is_fraction {
            return double;
        }
        match value {
            Value::Int(whole) => i64::try_from(whole).map_or(double, PointValue::Int),
            #[expect(clippy::cast_possible_truncation, reason = "it is a whole number below 2^53")]
            Value::Float(float) if float.fract() == 0.0 && float.abs() < WHOLE_MAX => {
                PointValue::Int(float as i64)
            }
            Value::Nanos(_) | Value::Float(_) => double,
        }
    }
}

/// Below it a double holds every whole number.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits stand for columns, and a column belongs to one row.
    #[test]
    fn tables_have_room_for_their_columns() {
        for dimension in Dimension::ALL {
            assert!(catalogue::get().columns(dimension).len() <= 64, "{dimension:?}");
        }
    }

    #[test]
    fn names_of_prometheus_stay_what_they_are() {
        for (name, unit, expect) in [
            ("container_cpu_usage_seconds_total", Unit::Seconds, "s"),
            ("container_memory_rss", Unit::Bytes, ""),
            ("container_memory_usage_bytes", Unit::Bytes, "By"),
            ("container_state", Unit::One, ""),
            ("container_spec_cpu_quota", Unit::Count("us"), ""),
            ("container_cpu_limit_cores", Unit::Cores, "{cpu}"),
            ("container_cpu_usage_percent", Unit::Percent, "%"),
        ] {
            assert_eq!(unit_that_adds_nothing(name, unit), expect, "{name}");
        }
    }
}
