//! The section `otlp`, and what of `telemetry` is about it.

use std::path::PathBuf;
use std::time::Duration;

use otlp_client::{Headers, Said, SettingsError, Values};
use sink_otlp::{Identity, Names};

use super::parsed::Parsed;
use super::problem::{Origin, Problem};
use super::settings::Origins;

/// Where metrics are sent, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Otlp {
    /// Receiver, protocol, bounds.
    pub(crate) client: otlp_client::Settings,
    /// The time between two exports.
    pub(crate) interval: Duration,
    /// Where a container's identity stands.
    pub(crate) identity: Identity,
    /// How metrics are called.
    pub(crate) names: Names,
    /// `service.name` and what was set of the exporter's own resource; of a key that comes twice the first counts.
    pub(crate) resource: Vec<(String, String)>,
}

/// Reads the sections; `None` where nothing is sent. What cannot be used is added to `problems`, or to `warnings` where
/// a variable of the OpenTelemetry specification says it: those are often set for a whole fleet.
pub(super) fn resolve(
    parsed: &Parsed,
    origins: &Origins<'_>,
    warnings: &mut Vec<Problem>,
    problems: &mut Vec<Problem>,
) -> Option<Otlp> {
    let is_named = match parsed.telemetry.otel_exporter.as_deref() {
        Some("prometheus" | "none") => return None,
        exporter => exporter.is_some(),
    };
    let client = match client(parsed, is_named) {
        Ok(client) => client?,
        Err(error) => {
            tell(&error, origins, "nothing is sent by OTLP", warnings, problems);
            return None;
        }
    };
    let otlp = &parsed.otlp;
    Some(Otlp {
        client,
        interval: Duration::from_secs_f64(otlp.interval.unwrap_or(parsed.general.interval)),
        identity: match otlp.identity.as_str() {
            "datapoint" => Identity::DataPoint,
            "both" => Identity::Both,
            _ => Identity::Resource,
        },
        names: if otlp.names == "prometheus" { Names::Prometheus } else { Names::Semconv },
        resource: resource(parsed, origins),
    })
}

/// A setting that cannot be used: of what a person has set, a problem; of a variable of the specification, a warning
/// with what follows.
pub(super) fn tell(
    error: &SettingsError,
    origins: &Origins<'_>,
    consequence: &str,
    warnings: &mut Vec<Problem>,
    problems: &mut Vec<Problem>,
) {
    let origin = origins.of(error.origin());
    let what = format!("`{}`: {}", error.origin(), error.kind());
    match origin {
        Origin::Otel(_) => warnings.push(Problem::at(origin, format!("{what}; {consequence}"))),
        _ => problems.push(Problem::at(origin, what)),
    }
}

/// What was set of the exporter's own resource.
pub(super) fn resource(parsed: &Parsed, origins: &Origins<'_>) -> Vec<(String, String)> {
    let name = ("service.name".to_owned(), parsed.telemetry.service_name.clone());
    let mut resource = parsed.otlp.resource_attributes.clone();
    // The default is the last to be asked.
    let place = if origins.of("telemetry.service_name").is_set() { 0 } else { resource.len() };
    resource.insert(place, name);
    resource
}

fn client(parsed: &Parsed, is_named: bool) -> Result<Option<otlp_client::Settings>, SettingsError> {
    let otlp = &parsed.otlp;
    let text = |value: &Option<String>, by| value.clone().map(|value| Said::new(value, by));
    let path = |value: &Option<String>, by| value.as_ref().map(|value| Said::new(PathBuf::from(value), by));
    let headers = otlp.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let headers = Headers::from_pairs(headers).map_err(|error| SettingsError::new("otlp.headers", error))?;
    let mut values = Values::default();
    values.endpoint = text(&otlp.endpoint, "otlp.endpoint");
    values.metrics_endpoint = text(&otlp.metrics_endpoint, "otlp.metrics_endpoint");
    values.grpc_endpoint = text(&parsed.telemetry.otel_endpoint, "telemetry.otel_endpoint");
    if let Some(protocol) = &otlp.protocol {
        let read =
            protocol.parse().map_err(|expected| SettingsError::word("otlp.protocol", protocol, expected))?;
        values.protocol = Some(Said::new(read, "otlp.protocol"));
    }
    values.insecure = Some(Said::new(otlp.insecure, "otlp.insecure"));
    values.headers = Some(Said::new(headers, "otlp.headers"));
    let word = |expected| SettingsError::word("otlp.compression", &otlp.compression, expected);
    let compression = otlp.compression.parse().map_err(word)?;
    values.compression = Some(Said::new(compression, "otlp.compression"));
    values.timeout = Some(Said::new(Duration::from_secs_f64(otlp.timeout), "otlp.timeout"));
    values.certificate = path(&otlp.certificate, "otlp.certificate");
    values.client_key = path(&otlp.client_key, "otlp.client_key");
    values.client_certificate = path(&otlp.client_certificate, "otlp.client_certificate");
    values.queue_bytes_max = Some(Said::new(otlp.queue_bytes_max, "otlp.queue_bytes_max"));
    if is_named { values.resolve_or_local().map(Some) } else { values.resolve() }
}
