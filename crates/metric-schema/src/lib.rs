//! Metric definitions as values.
//!
//! A [`MetricDef`] says once what a number is: its name in OpenTelemetry's dotted style, unit, instrument,
//! attributes, group and help. The Prometheus name is computed from it; where the field already uses another
//! name, the row overrides it and gives the reason. Documents, pages, dashboards and alerts are derived from
//! the row, never from a name in a string.
//!
//! ```
//! use metric_schema::{MetricDef, Unit};
//!
//! const CPU: MetricDef = MetricDef::counter("container.cpu.usage", Unit::Seconds, "cpu", "CPU time used.");
//! assert_eq!(CPU.prometheus_name(), "container_cpu_usage_seconds_total");
//!
//! const RSS: MetricDef = MetricDef::gauge("container.memory.rss", Unit::Bytes, "memory", "Anonymous memory.")
//!     .named("container_memory_rss", "cAdvisor's name");
//! assert_eq!(RSS.prometheus_name(), "container_memory_rss");
//! ```
//!
//! A row leaves by OTLP under its dotted name, unless it says as which metric, or why not:
//!
//! ```
//! use metric_schema::{Conversion, MetricDef, OtelMetric, Unit};
//!
//! const BUSY: MetricDef = MetricDef::gauge("pool.busy", Unit::Percent, "pool", "Workers that are busy.")
//!     .otel(OtelMetric::gauge("pool.utilization", Unit::One).converted(Conversion::PerHundred));
//! assert_eq!(BUSY.otel_metric().map(|metric| (metric.name, metric.unit.ucum())), Ok(("pool.utilization", "1")));
//! ```
//!
//! The crate has no dependencies, so that a generator of dashboards needs nothing else.

mod def;
mod name;
mod otel;
mod unit;

pub use def::{Alias, Attribute, Instrument, MetricDef, Stability, Values};
pub use name::{NameError, check_definition, prometheus_name};
pub use otel::{Conversion, Origin, Otel, OtelMetric};
pub use unit::Unit;
