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
//! The crate has no dependencies, so that a generator of dashboards needs nothing else.

mod def;
mod name;
mod unit;

pub use def::{Alias, Attribute, Instrument, MetricDef, Stability, Values};
pub use name::{NameError, check_definition, prometheus_name};
pub use unit::Unit;
