//! [`MetricDef`] and what it is made of.

use crate::{Otel, OtelMetric, Unit, name};

/// How the value behaves over time, in OpenTelemetry's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Instrument {
    /// Only rises, and starts again at 0 when what it counts starts again.
    Counter,
    /// Rises and falls; summing it over containers makes sense (bytes in use).
    UpDownCounter,
    /// Rises and falls; a sum over containers means nothing (a percentage, a point in time).
    Gauge,
    /// Counts what was measured, by upper bound: [`MetricDef::buckets`].
    Histogram,
}

impl Instrument {
    /// The word on a Prometheus `# TYPE` line.
    #[must_use]
    pub const fn prometheus_type(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::UpDownCounter | Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    /// The word of the semantic conventions.
    #[must_use]
    pub const fn otel_word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::UpDownCounter => "updowncounter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The values that an attribute can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Exactly these.
    Closed(&'static [&'static str]),
    /// Whatever the host has (devices, interfaces), at most this many on one entity.
    Capped(usize),
    /// Names that the program gives when it starts, and numbers of what it has from then on: the set does not grow.
    Given,
}

/// A dimension of a metric beside the identity of its entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// The label name.
    pub name: &'static str,
    /// What it can be.
    pub values: Values,
    /// The key of the OpenTelemetry attribute; `None` where points by OTLP do without it.
    pub otel: Option<&'static str>,
}

impl Attribute {
    /// A dimension of the same name on pages and by OTLP.
    #[must_use]
    pub const fn new(name: &'static str, values: Values) -> Self {
        Self { name, values, otel: Some(name) }
    }

    /// Gives it another key by OTLP.
    #[must_use]
    pub const fn otel(mut self, key: &'static str) -> Self {
        self.otel = Some(key);
        self
    }

    /// Says that it stands on pages only: by OTLP the Resource says it, or there is one value only.
    #[must_use]
    pub const fn on_pages_only(mut self) -> Self {
        self.otel = None;
        self
    }
}

/// How far a name can be relied upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stability {
    /// Changes only with a major version.
    Stable,
    /// May still change; the change log says so.
    Development,
}

/// The same metric under another naming profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alias {
    /// The profile that uses it, such as `cadvisor`.
    pub profile: &'static str,
    /// The whole name there.
    pub name: &'static str,
    /// Labels with a fixed value that the profile adds.
    pub labels: &'static [(&'static str, &'static str)],
}

/// One metric: the row of a catalogue.
///
/// Built by const functions, so that a catalogue is a static table:
/// [`counter`](Self::counter), [`gauge`](Self::gauge), [`up_down`](Self::up_down) or [`histogram`](Self::histogram),
/// then refinements.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct MetricDef {
    /// The dotted name, in OpenTelemetry's style, without unit and without `total`.
    pub name: &'static str,
    /// What it is measured in.
    pub unit: Unit,
    /// How it behaves.
    pub instrument: Instrument,
    /// Upper bounds of a histogram's buckets, rising, in the unit, without the last one (+Inf); empty for the others.
    pub buckets: &'static [f64],
    /// The group that switches it on and off.
    pub group: &'static str,
    /// One or two sentences, with the full stop.
    pub help: &'static str,
    /// Dimensions beside the entity's identity.
    pub attributes: &'static [Attribute],
    /// Labels whose value the row fixes: several rows then share one name.
    pub labels: &'static [(&'static str, &'static str)],
    /// A Prometheus name that is not the computed one, with the reason.
    pub named: Option<(&'static str, &'static str)>,
    /// Names under other profiles.
    pub aliases: &'static [Alias],
    /// Why the row is not shown under the default profile; `None` where it is.
    pub only_aliased: Option<&'static str>,
    /// How far the name can be relied upon.
    pub stability: Stability,
    /// How it leaves by OTLP.
    pub otel: Otel,
}

impl MetricDef {
    const fn new(
        name: &'static str,
        unit: Unit,
        instrument: Instrument,
        group: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            name,
            unit,
            instrument,
            buckets: &[],
            group,
            help,
            attributes: &[],
            labels: &[],
            named: None,
            aliases: &[],
            only_aliased: None,
            stability: Stability::Stable,
            otel: Otel::Same,
        }
    }

    /// A value that only rises.
    #[must_use]
    pub const fn counter(name: &'static str, unit: Unit, group: &'static str, help: &'static str) -> Self {
        Self::new(name, unit, Instrument::Counter, group, help)
    }

    /// A value of the moment that is not to be summed.
    #[must_use]
    pub const fn gauge(name: &'static str, unit: Unit, group: &'static str, help: &'static str) -> Self {
        Self::new(name, unit, Instrument::Gauge, group, help)
    }

    /// A value of the moment that may be summed.
    #[must_use]
    pub const fn up_down(name: &'static str, unit: Unit, group: &'static str, help: &'static str) -> Self {
        Self::new(name, unit, Instrument::UpDownCounter, group, help)
    }

    /// Values counted by upper bound.
    #[must_use]
    pub const fn histogram(
        name: &'static str,
        unit: Unit,
        group: &'static str,
        help: &'static str,
        buckets: &'static [f64],
    ) -> Self {
        Self { buckets, ..Self::new(name, unit, Instrument::Histogram, group, help) }
    }

    /// Gives it dimensions.
    #[must_use]
    pub const fn by(mut self, attributes: &'static [Attribute]) -> Self {
        self.attributes = attributes;
        self
    }

    /// Fixes labels, so that several rows share one name.
    #[must_use]
    pub const fn with(mut self, labels: &'static [(&'static str, &'static str)]) -> Self {
        self.labels = labels;
        self
    }

    /// Overrides the computed Prometheus name, for a reason.
    #[must_use]
    pub const fn named(mut self, name: &'static str, reason: &'static str) -> Self {
        self.named = Some((name, reason));
        self
    }

    /// Gives it names under other profiles.
    #[must_use]
    pub const fn aliased(mut self, aliases: &'static [Alias]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Shows it under the profiles of its aliases only (without aliases: on no page), for a reason.
    #[must_use]
    pub const fn only_aliased(mut self, reason: &'static str) -> Self {
        self.only_aliased = Some(reason);
        self
    }

    /// Lets it leave by OTLP as another metric than its own name, unit and instrument say.
    #[must_use]
    pub const fn otel(mut self, metric: OtelMetric) -> Self {
        self.otel = Otel::As(metric);
        self
    }

    /// Keeps it out of OTLP, for a reason.
    #[must_use]
    pub const fn not_otlp(mut self, reason: &'static str) -> Self {
        self.otel = Otel::Left(reason);
        self
    }

    /// Says that the name may still change.
    #[must_use]
    pub const fn in_development(mut self) -> Self {
        self.stability = Stability::Development;
        self
    }

    /// The Prometheus name under the default profile.
    #[must_use]
    pub fn prometheus_name(&self) -> String {
        match self.named {
            Some((name, _)) => name.to_owned(),
            None => name::prometheus_name(self.name, self.unit, self.instrument),
        }
    }

    /// The name under another profile; `None` where that profile does not show it.
    #[must_use]
    pub fn alias(&self, profile: &str) -> Option<&Alias> {
        self.aliases.iter().find(|alias| alias.profile == profile)
    }

    /// The metric as which it leaves by OTLP.
    ///
    /// # Errors
    ///
    /// Why it does not leave: the row says so, or stands under other profiles' names only.
    pub const fn otel_metric(&self) -> Result<OtelMetric, &'static str> {
        match (self.otel, self.only_aliased) {
            (Otel::As(metric), _) => Ok(metric),
            (Otel::Left(reason), _) | (Otel::Same, Some(reason)) => Err(reason),
            (Otel::Same, None) => {
                let metric = match self.instrument {
                    Instrument::Counter => OtelMetric::counter(self.name, self.unit),
                    Instrument::UpDownCounter => OtelMetric::up_down(self.name, self.unit),
                    Instrument::Gauge => OtelMetric::gauge(self.name, self.unit),
                    Instrument::Histogram => OtelMetric::histogram(self.name, self.unit),
                };
                Ok(metric.with(self.labels))
            }
        }
    }
}
