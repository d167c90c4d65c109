//! How a panel shows its numbers.

use metric_schema::{Instrument, MetricDef, Unit};

/// How numbers are shown: Grafana's units, as far as they are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shown {
    /// Bytes, in powers of 1024.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// 0 to 1, shown as percent.
    Ratio,
    /// 0 to 100.
    Percent,
    /// Seconds, as a short time.
    Seconds,
    /// Seconds, as days and hours.
    Duration,
    /// Milliseconds since 1970, as a date.
    DateTime,
    /// Packets per second.
    PacketsPerSecond,
    /// Disk operations per second.
    IoPerSecond,
    /// Operations per second.
    OpsPerSecond,
    /// Requests per second.
    RequestsPerSecond,
    /// A number with k, M and so on.
    Short,
    /// A number as it is.
    Plain,
}

impl Shown {
    /// Grafana's identifier.
    #[must_use]
    pub const fn grafana(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "Bps",
            Self::Ratio => "percentunit",
            Self::Percent => "percent",
            Self::Seconds => "s",
            Self::Duration => "dtdurations",
            Self::DateTime => "dateTimeAsIso",
            Self::PacketsPerSecond => "pps",
            Self::IoPerSecond => "iops",
            Self::OpsPerSecond => "ops",
            Self::RequestsPerSecond => "reqps",
            Self::Short => "short",
            Self::Plain => "none",
        }
    }

    /// What is counted comes in whole pieces, though Prometheus' `increase` says 8.05 of it. A share that stands alone as a number is
    /// read at a glance: 0.1 %, not 0.0775 %.
    pub(crate) const fn decimals(self, alone: bool) -> Option<u8> {
        match self {
            Self::Plain => Some(0),
            Self::Ratio if alone => Some(1),
            _ => None,
        }
    }

    /// How the value of a row is shown: a counter's rate, anything else as it is.
    #[must_use]
    pub const fn of(def: &MetricDef) -> Self {
        match (def.instrument, def.unit) {
            // Seconds per second: of time, or cores.
            (Instrument::Counter, Unit::Seconds) => Self::Short,
            (Instrument::Counter, Unit::Bytes) => Self::BytesPerSecond,
            (Instrument::Counter, Unit::Count(annotation)) => per_second(annotation),
            (_, Unit::Bytes) => Self::Bytes,
            (_, Unit::Percent) => Self::Percent,
            (_, Unit::Seconds) => Self::Seconds,
            (_, Unit::UnixSeconds) => Self::DateTime,
            _ => Self::Short,
        }
    }
}

const fn per_second(annotation: &str) -> Shown {
    match annotation.as_bytes() {
        b"{packet}" => Shown::PacketsPerSecond,
        b"{operation}" => Shown::IoPerSecond,
        b"{request}" => Shown::RequestsPerSecond,
        _ => Shown::OpsPerSecond,
    }
}

/// A colour that Grafana knows by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "colours")]
pub enum Color {
    Green,
    Yellow,
    Orange,
    Red,
    Blue,
    Purple,
    Gray,
}

impl Color {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Orange => "orange",
            Self::Red => "red",
            Self::Blue => "blue",
            Self::Purple => "purple",
            Self::Gray => "#808080",
        }
    }
}
