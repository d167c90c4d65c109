//! The rule from an OpenTelemetry name to a Prometheus name, and what a definition must keep.

use std::fmt;

use crate::{Instrument, MetricDef, Unit};

/// Computes the Prometheus name: dots become underscores, the unit is appended unless the name ends with it,
/// and a counter ends in `_total`.
///
/// The rule is that of OpenTelemetry's "Prometheus and OpenMetrics Compatibility" specification.
#[must_use]
pub fn prometheus_name(name: &str, unit: Unit, instrument: Instrument) -> String {
    let mut out = name.replace('.', "_");
    if let Some(suffix) = unit.prometheus_suffix() {
        let ends = out.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('_'));
        if !ends {
            out.push('_');
            out.push_str(suffix);
        }
    }
    if instrument == Instrument::Counter {
        out.push_str("_total");
    }
    out
}

/// What is wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// The dotted name has a character or a shape that OpenTelemetry does not allow.
    IllegalName(&'static str),
    /// The Prometheus name has a character that its oldest supported parsers refuse.
    IllegalPrometheusName(String),
    /// The OpenTelemetry name or an attribute's key has a character or a shape that is not allowed.
    IllegalOtelName(&'static str),
    /// The reason why the row does not leave by OTLP says nothing.
    NoReason(&'static str),
    /// A label name that Prometheus refuses or reserves.
    IllegalLabel(&'static str),
    /// A histogram whose buckets do not rise or are none, or buckets of what is no histogram.
    Buckets(&'static str),
    /// The help text is empty, or is no sentence.
    Help(&'static str),
    /// The override equals the computed name, so it is not needed.
    NeedlessOverride(&'static str),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IllegalName(name) => {
                write!(f, "metric name {name:?} is not lower-case words joined by `.` and `_`")
            }
            Self::IllegalPrometheusName(name) => {
                write!(f, "Prometheus name {name:?} does not match [a-z_:][a-z0-9_:]*")
            }
            Self::IllegalOtelName(name) => {
                write!(f, "OpenTelemetry name {name:?} is not lower-case words joined by `.` and `_`")
            }
            Self::NoReason(name) => write!(f, "{name:?} does not leave by OTLP, and no reason is given"),
            Self::IllegalLabel(label) => write!(f, "label {label:?} is illegal or reserved"),
            Self::Buckets(name) => {
                write!(f, "{name:?} is a histogram without buckets that rise, or has buckets and is none")
            }
            Self::Help(name) => write!(f, "the help of {name:?} is no sentence that ends with a full stop"),
            Self::NeedlessOverride(name) => write!(f, "the override of {name:?} equals the computed name"),
        }
    }
}

impl std::error::Error for NameError {}

/// Checks one definition by itself.
///
/// # Errors
///
/// The first rule that the definition breaks.
pub fn check_definition(def: &MetricDef) -> Result<(), NameError> {
    if !is_dotted(def.name) {
        return Err(NameError::IllegalName(def.name));
    }
    let computed = prometheus_name(def.name, def.unit, def.instrument);
    if def.named.is_some_and(|(name, _)| name == computed) {
        return Err(NameError::NeedlessOverride(def.name));
    }
    let aliases = def.aliases.iter().map(|alias| alias.name.to_owned());
    for name in aliases.chain([def.prometheus_name()]) {
        if !is_legacy_name(&name) {
            return Err(NameError::IllegalPrometheusName(name));
        }
    }
    let fixed = def.labels.iter().chain(def.aliases.iter().flat_map(|alias| alias.labels));
    for label in fixed.map(|(label, _)| *label).chain(def.attributes.iter().map(|attribute| attribute.name)) {
        let reserved = matches!(label, "le" | "quantile") || label.starts_with("__");
        if reserved || label.contains(':') || !is_legacy_name(&label.to_ascii_lowercase()) {
            return Err(NameError::IllegalLabel(label));
        }
    }
    check_otel(def)?;
    let are_rising =
        def.buckets.is_sorted_by(|a, b| a < b) && def.buckets.iter().all(|bound| bound.is_finite());
    if !are_rising || def.buckets.is_empty() == (def.instrument == Instrument::Histogram) {
        return Err(NameError::Buckets(def.name));
    }
    if def.help.len() < 8 || !def.help.ends_with('.') || def.help.contains('\n') {
        return Err(NameError::Help(def.name));
    }
    Ok(())
}

fn check_otel(def: &MetricDef) -> Result<(), NameError> {
    let metric = match def.otel_metric() {
        Ok(metric) => metric,
        Err(reason) if reason.len() < 8 => return Err(NameError::NoReason(def.name)),
        Err(_) => return Ok(()),
    };
    let fixed = metric.attributes.iter().map(|(key, _)| *key);
    let shown = def.attributes.iter().filter_map(|attribute| attribute.otel);
    match [metric.name].into_iter().chain(fixed).chain(shown).find(|name| !is_dotted(name)) {
        Some(name) => Err(NameError::IllegalOtelName(name)),
        None => Ok(()),
    }
}

fn is_dotted(name: &str) -> bool {
    !name.is_empty()
        && name.split('.').all(|word| {
            word.starts_with(|c: char| c.is_ascii_lowercase())
                && !word.ends_with('_')
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        })
}

fn is_legacy_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_' || c == ':')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_computed() {
        use Instrument::{Counter, Gauge};
        let cases = [
            ("container.cpu.usage", Unit::Seconds, Counter, "container_cpu_usage_seconds_total"),
            ("container.cpu.usage", Unit::Percent, Gauge, "container_cpu_usage_percent"),
            ("container.cpu.limit", Unit::Cores, Gauge, "container_cpu_limit_cores"),
            ("container.start_time", Unit::UnixSeconds, Gauge, "container_start_time_seconds"),
            ("container.fs.reads", Unit::Bytes, Counter, "container_fs_reads_bytes_total"),
            ("container.fs.reads", Unit::Count("{operation}"), Counter, "container_fs_reads_total"),
            ("shop.latency", Unit::Seconds, Instrument::Histogram, "shop_latency_seconds"),
            ("a.bytes", Unit::Bytes, Gauge, "a_bytes"),
            ("a.kilobytes", Unit::Bytes, Gauge, "a_kilobytes_bytes"),
        ];
        for (name, unit, instrument, expect) in cases {
            assert_eq!(prometheus_name(name, unit, instrument), expect);
        }
    }

    #[test]
    fn definitions_are_checked() {
        const GOOD: MetricDef = MetricDef::gauge("a.b", Unit::Bytes, "g", "The b of a.");
        assert_eq!(check_definition(&GOOD), Ok(()));
        let bad = |change: fn(&mut MetricDef)| {
            let mut def = GOOD;
            change(&mut def);
            check_definition(&def).unwrap_err()
        };
        assert_eq!(bad(|d| d.name = "a-b"), NameError::IllegalName("a-b"));
        assert_eq!(bad(|d| d.name = "a..b"), NameError::IllegalName("a..b"));
        assert_eq!(bad(|d| d.help = "no stop here"), NameError::Help("a.b"));
        assert_eq!(bad(|d| d.named = Some(("a_b_bytes", "why"))), NameError::NeedlessOverride("a.b"));
        assert_eq!(
            bad(|d| *d = d.otel(crate::OtelMetric::gauge("A.b", Unit::One))),
            NameError::IllegalOtelName("A.b")
        );
        assert_eq!(bad(|d| *d = d.not_otlp("")), NameError::NoReason("a.b"));
        let histogram = |buckets| MetricDef::histogram("a.b", Unit::Seconds, "g", "The b of a.", buckets);
        assert_eq!(bad(|d| d.buckets = &[1.0]), NameError::Buckets("a.b"));
        for buckets in [&[][..], &[1.0, 1.0], &[2.0, 1.0], &[1.0, f64::INFINITY]] {
            assert_eq!(check_definition(&histogram(buckets)), Err(NameError::Buckets("a.b")), "{buckets:?}");
        }
        assert_eq!(check_definition(&histogram(&[0.1, 1.0])), Ok(()));
        assert_eq!(bad(|d| d.labels = &[("le", "1")]), NameError::IllegalLabel("le"));
        assert_eq!(
            bad(|d| d.named = Some(("a.b", "why"))),
            NameError::IllegalPrometheusName("a.b".to_owned())
        );
    }
}
