//! Units: a closed set, so that every output knows how to show each of them.

/// What one is counted or measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Seconds; readings carry whole nanoseconds.
    Seconds,
    /// Seconds since 1970-01-01T00:00:00Z.
    UnixSeconds,
    /// Bytes.
    Bytes,
    /// Percent, 0 to 100 of the thing that the help names (and above, where the help says so).
    Percent,
    /// Logical CPUs.
    Cores,
    /// A plain number or a state: no unit.
    One,
    /// Things that are counted, named by a UCUM annotation such as `{packet}`.
    Count(&'static str),
}

impl Unit {
    /// The UCUM code, as OpenTelemetry writes units.
    #[must_use]
    pub const fn ucum(self) -> &'static str {
        match self {
            Self::Seconds | Self::UnixSeconds => "s",
            Self::Bytes => "By",
            Self::Percent => "%",
            Self::Cores => "{cpu}",
            Self::One => "1",
            Self::Count(annotation) => annotation,
        }
    }

    /// What a Prometheus name ends with, without the underscore; `None` where the unit is not part of the name.
    #[must_use]
    pub const fn prometheus_suffix(self) -> Option<&'static str> {
        match self {
            Self::Seconds | Self::UnixSeconds => Some("seconds"),
            Self::Bytes => Some("bytes"),
            Self::Percent => Some("percent"),
            Self::Cores => Some("cores"),
            Self::One | Self::Count(_) => None,
        }
    }

    /// Grafana's identifier of the unit.
    #[must_use]
    pub const fn grafana(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::UnixSeconds => "dateTimeAsIso",
            Self::Bytes => "bytes",
            Self::Percent => "percent",
            Self::Cores | Self::One | Self::Count(_) => "short",
        }
    }
}
