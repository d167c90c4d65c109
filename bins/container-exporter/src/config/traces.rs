//! The section `traces`, and what of `otlp` and `telemetry` holds for it.

use std::path::PathBuf;
use std::time::Duration;

use otlp_client::{Headers, Said, SettingsError, Values};

use super::otlp::{resource, tell};
use super::parsed::Parsed;
use super::problem::{Origin, Problem};
use super::settings::Origins;

/// Where the exporter's own traces are sent, and which.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Traces {
    /// Receiver, protocol, bounds.
    pub(crate) client: otlp_client::Settings,
    /// The part of the traces that begin here, from 0 to 1.
    pub(crate) ratio: f64,
    /// `service.name` and what was set of the exporter's own resource; of a key that comes twice the first counts.
    pub(crate) resource: Vec<(String, String)>,
}

impl Traces {
    /// The name of the service, as its resource has it.
    pub(crate) fn service_name(&self) -> &str {
        let found = self.resource.iter().find(|(key, _)| key == "service.name");
        found.map_or(env!("CARGO_PKG_NAME"), |(_, name)| name)
    }
}

/// Reads the sections; `None` where no traces are sent.
pub(super) fn resolve(
    parsed: &Parsed,
    origins: &Origins<'_>,
    warnings: &mut Vec<Problem>,
    problems: &mut Vec<Problem>,
) -> Option<Traces> {
    let is_off = matches!(parsed.telemetry.otel_exporter.as_deref(), Some("prometheus" | "none"));
    if is_off || parsed.traces.exporter == "none" {
        return None;
    }
    match client(parsed, origins) {
        Ok(client) => {
            Some(Traces { client: client?, ratio: parsed.traces.ratio, resource: resource(parsed, origins) })
        }
        Err(error) => {
            // What metrics share was told with them.
            if error.origin().starts_with("traces.") {
                tell(&error, origins, "no traces are sent", warnings, problems);
            }
            None
        }
    }
}

/// A value that holds for traces and the key that has it: that of `traces`; where it is not set, or by a variable for all
/// signals only, that of `otlp`, unless a variable for metrics alone has set that.
fn pick<T>(origins: &Origins<'_>, name: &str, own: Option<T>, shared: Option<T>) -> (Option<T>, String) {
    let (of_traces, of_all) = (format!("traces.{name}"), format!("otlp.{name}"));
    let is_general =
        matches!(origins.of(&of_traces), Origin::Otel(variable) if !variable.contains("_TRACES_"));
    let is_of_metrics =
        matches!(origins.of(&of_all), Origin::Otel(variable) if variable.contains("_METRICS_"));
    if own.is_none() || (is_general && !is_of_metrics) {
        return (if is_of_metrics { None } else { shared }, of_all);
    }
    (own, of_traces)
}

fn client(parsed: &Parsed, origins: &Origins<'_>) -> Result<Option<otlp_client::Settings>, SettingsError> {
    let (own, all) = (&parsed.traces, &parsed.otlp);
    let text = |value: &Option<String>, by: &str| value.clone().map(|value| Said::new(value, by));
    let path = |name: &str, own: &Option<String>, all: &Option<String>| {
        let (value, by) = pick(origins, name, own.as_ref(), all.as_ref());
        value.map(|value| Said::new(PathBuf::from(value), by))
    };
    let mut values = Values::default();
    values.traces_endpoint = text(&own.endpoint, "traces.endpoint");
    values.endpoint = text(&all.endpoint, "otlp.endpoint");
    values.grpc_endpoint = text(&parsed.telemetry.otel_endpoint, "telemetry.otel_endpoint");
    if let (Some(word), by) = pick(origins, "protocol", own.protocol.as_ref(), all.protocol.as_ref()) {
        let protocol = word.parse().map_err(|expected| SettingsError::word(&by, word, expected))?;
        values.protocol = Some(Said::new(protocol, by));
    }
    let (insecure, by) = pick(origins, "insecure", own.insecure, Some(all.insecure));
    values.insecure = insecure.map(|insecure| Said::new(insecure, by));
    if let (Some(pairs), by) = pick(origins, "headers", own.headers.as_ref(), Some(&all.headers)) {
        let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers = Headers::from_pairs(pairs).map_err(|error| SettingsError::new(&by, error))?;
        values.headers = Some(Said::new(headers, by));
    }
    let compression = pick(origins, "compression", own.compression.as_ref(), Some(&all.compression));
    if let (Some(word), by) = compression {
        let compression = word.parse().map_err(|expected| SettingsError::word(&by, word, expected))?;
        values.compression = Some(Said::new(compression, by));
    }
    let (timeout, by) = pick(origins, "timeout", own.timeout, Some(all.timeout));
    values.timeout = timeout.map(|seconds| Said::new(Duration::from_secs_f64(seconds), by));
    values.certificate = path("certificate", &own.certificate, &all.certificate);
    values.client_key = path("client_key", &own.client_key, &all.client_key);
    values.client_certificate = path("client_certificate", &own.client_certificate, &all.client_certificate);
    values.resolve_traces()
}
