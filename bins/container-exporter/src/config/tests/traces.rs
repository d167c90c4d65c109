//! Where the exporter's own traces are sent: who wins, and what is shared with metrics.

use super::*;
use crate::config::settings::Traces;

fn traces(case: &Case) -> Option<Traces> {
    let settings = case.settings();
    assert_eq!(settings.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
    settings.traces
}

/// Protocol and endpoint.
#[track_caller]
fn check(case: &Case, expect: Option<&str>) {
    let found = traces(case).map(|traces| format!("{} {}", traces.client.protocol, traces.client.endpoint));
    assert_eq!(found.as_deref(), expect);
}

#[test]
fn an_endpoint_of_its_own_or_for_all_signals_switches_them_on() {
    check(&Case::new(), None);
    let s0 = Case::new().file("[telemetry]\notel_endpoint = \"http://c:4317\"\n");
    check(&s0, Some("grpc http://c:4317"));
    let all = Case::new().env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://d:4318/x");
    check(&all, Some("http/protobuf http://d:4318/x/v1/traces"));
    // A receiver of metrics need not take traces.
    let metrics = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    check(&Case::new().env(metrics, "http://p/api/v1/otlp/v1/metrics"), None);
    let own = |case: Case| case.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:4318/own");
    check(&own(Case::new()), Some("http/protobuf http://t:4318/own"));
    check(&own(all), Some("http/protobuf http://t:4318/own"));
    assert!(own(Case::new()).settings().otlp.is_none());
    check(
        &own(Case::new()).env("CONTAINER_EXPORTER__TRACES__ENDPOINT", "http://u/v"),
        Some("http/protobuf http://u:80/v"),
    );
}

#[test]
fn they_are_switched_off_by_either_exporter() {
    let endpoint = |case: Case| case.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://d:4318");
    check(&endpoint(Case::new()).env("OTEL_TRACES_EXPORTER", "none"), None);
    assert!(endpoint(Case::new()).env("OTEL_TRACES_EXPORTER", "none").settings().otlp.is_some());
    for word in ["none", "prometheus"] {
        check(&endpoint(Case::new().file(&format!("[telemetry]\notel_exporter = \"{word}\"\n"))), None);
    }
}

#[test]
fn what_is_not_set_is_as_for_metrics_but_not_what_is_for_metrics_alone() {
    let names = |case: &Case| -> Vec<String> {
        let traces = traces(case).expect("an endpoint is set");
        traces.client.headers.names().map(str::to_owned).collect()
    };
    let base = || Case::new().file("[otlp]\nendpoint = \"http://c\"\nheaders = { file = \"1\" }\n");
    assert_eq!(names(&base()), ["file"]);
    assert_eq!(names(&base().env("OTEL_EXPORTER_OTLP_HEADERS", "all=1")), ["all"]);
    let both = base().env("OTEL_EXPORTER_OTLP_HEADERS", "all=1");
    assert_eq!(names(&both.env("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "metrics=1")), ["all"]);
    assert_eq!(names(&base().env("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "m=1")), Vec::<String>::new());
    let both = base().env("OTEL_EXPORTER_OTLP_HEADERS", "all=1");
    assert_eq!(names(&both.env("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "traces=1")), ["traces"]);
    // Ours win over those of the specification.
    let both = base().env("OTEL_EXPORTER_OTLP_HEADERS", "all=1");
    assert_eq!(names(&both.env("CONTAINER_EXPORTER__OTLP__HEADERS", "ours=1")), ["ours"]);
}

#[test]
fn every_key_arrives() {
    let text = fixture("all.toml").replace("otel_exporter = \"none\"", "otel_exporter = \"otlp\"");
    let traces = Case::new().file(&text).settings().traces.expect("an endpoint is set");
    assert_eq!(traces.client.endpoint.to_string(), "https://t:443");
    assert_eq!((traces.ratio, traces.client.timeout.as_secs()), (0.5, 6));
    assert_eq!(traces.client.compression, otlp_client::Compression::None);
    assert_eq!(traces.client.tls.certificate.as_deref(), Some("ca2.pem".as_ref()));
    let client = traces.client.tls.client.expect("a certificate");
    assert_eq!((client.certificate, client.key), ("client2.pem".into(), "client2.key".into()));
    let default = Case::new().env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://d:4318");
    assert_eq!(self::traces(&default).expect("an endpoint is set").ratio, 0.1);
    let one = default.env("OTEL_TRACES_SAMPLER_ARG", "1");
    assert_eq!(self::traces(&one).expect("an endpoint is set").ratio, 1.0);
}

#[test]
fn what_cannot_be_used_is_told_without_secrets() {
    let case = Case::new().file("[traces]\nendpoint = \"http://c/x\"\nclient_key = \"k\"\n");
    assert!(case.errors().contains("`traces.client_key`"), "{}", case.errors());
    let case = Case::new().file("[traces]\nendpoint = \"http://c/x\"\nheaders = { \"a b\" = \"s3cret\" }\n");
    assert!(case.errors().contains("`traces.headers`") && !case.errors().contains("s3cret"));
}
