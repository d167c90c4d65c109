//! The OpenTelemetry side of a definition: as which metric a row leaves by OTLP, or why it does not.

use crate::{Instrument, Unit};

/// How a reading becomes the value of an OpenTelemetry point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Conversion {
    /// As it is.
    AsIs,
    /// Percent to a ratio, or percent of one core to cores.
    PerHundred,
    /// Microseconds to seconds.
    PerMillion,
    /// A point in time to the seconds since then, while there are processes.
    Age,
    /// As it is, but 0 stands for "none" on pages and is no point here.
    UnlessZero,
}

/// Who named the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// OpenTelemetry: the semantic conventions or a receiver of its collector.
    Convention,
    /// This project, in the style of the conventions.
    Ours,
}

/// A metric of OpenTelemetry. Several rows may be points of one, told apart by [`attributes`](Self::attributes); they agree
/// on everything else but the conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtelMetric {
    /// The dotted name.
    pub name: &'static str,
    /// What it is measured in.
    pub unit: Unit,
    /// How it behaves.
    pub instrument: Instrument,
    /// Attributes whose value the row fixes, such as `cpu.mode` = `user`.
    pub attributes: &'static [(&'static str, &'static str)],
    /// From the row's reading to the point's value.
    pub conversion: Conversion,
    /// Who named it.
    pub origin: Origin,
    /// Whether the row is the sum of the metric's other rows: it is a point only where none of them is.
    pub is_total: bool,
}

impl OtelMetric {
    const fn new(name: &'static str, unit: Unit, instrument: Instrument) -> Self {
        Self {
            name,
            unit,
            instrument,
            attributes: &[],
            conversion: Conversion::AsIs,
            origin: Origin::Ours,
            is_total: false,
        }
    }

    /// A monotonic sum.
    #[must_use]
    pub const fn counter(name: &'static str, unit: Unit) -> Self {
        Self::new(name, unit, Instrument::Counter)
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(name: &'static str, unit: Unit) -> Self {
        Self::new(name, unit, Instrument::Gauge)
    }

    /// A sum that rises and falls.
    #[must_use]
    pub const fn up_down(name: &'static str, unit: Unit) -> Self {
        Self::new(name, unit, Instrument::UpDownCounter)
    }

    /// A histogram.
    #[must_use]
    pub const fn histogram(name: &'static str, unit: Unit) -> Self {
        Self::new(name, unit, Instrument::Histogram)
    }

    /// Fixes attributes.
    #[must_use]
    pub const fn with(mut self, attributes: &'static [(&'static str, &'static str)]) -> Self {
        self.attributes = attributes;
        self
    }

    /// Converts the readings.
    #[must_use]
    pub const fn converted(mut self, conversion: Conversion) -> Self {
        self.conversion = conversion;
        self
    }

    /// Says that OpenTelemetry named it.
    #[must_use]
    pub const fn by_convention(mut self) -> Self {
        self.origin = Origin::Convention;
        self
    }

    /// Says that the row is the sum of the metric's other rows.
    #[must_use]
    pub const fn total(mut self) -> Self {
        self.is_total = true;
        self
    }
}

/// How a row leaves by OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otel {
    /// Under its own dotted name, unit and instrument.
    Same,
    /// As another metric.
    As(OtelMetric),
    /// Not at all, for this reason.
    Left(&'static str),
}
