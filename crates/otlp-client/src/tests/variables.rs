//! Obligations 8 and 9: which endpoint and protocol the variables and keys mean, and who wins.

use std::ffi::OsString;

use proptest::prelude::*;

use super::*;
use crate::{ClientCertificate, Compression, SettingsError};

fn read(variables: &[(&str, &str)]) -> (Values, Vec<SettingsError>) {
    Values::from_env(&|name| {
        let found = variables.iter().find(|(known, _)| name == *known);
        found.map(|(_, value)| OsString::from(value))
    })
}

#[track_caller]
fn resolve(variables: &[(&str, &str)]) -> Settings {
    let (values, errors) = read(variables);
    assert_eq!(errors, []);
    values.resolve_or_local().expect("settings")
}

#[track_caller]
fn check(variables: &[(&str, &str)], expect: &str) {
    let settings = resolve(variables);
    assert_eq!(format!("{} {}", settings.protocol, settings.endpoint), expect, "{variables:?}");
}

const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const SIGNAL: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const SIGNALS_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL";

#[test]
fn endpoints_and_protocols_follow_the_specification() {
    check(&[], "http/protobuf http://localhost:4318/v1/metrics");
    check(&[(PROTOCOL, "grpc")], "grpc http://localhost:4317");
    check(&[(BASE, "http://c:4318")], "http/protobuf http://c:4318/v1/metrics");
    check(&[(BASE, "http://c:4317"), (PROTOCOL, "grpc")], "grpc http://c:4317");
    check(&[(SIGNAL, "http://c:1/x")], "http/protobuf http://c:1/x");
    check(&[(SIGNAL, "http://c:1/x"), (BASE, "http://d:1/y")], "http/protobuf http://c:1/x");
    check(
        &[(BASE, "http://c:1"), (PROTOCOL, "grpc"), (SIGNALS_PROTOCOL, "http/protobuf")],
        "http/protobuf http://c:1/v1/metrics",
    );
    // Empty is unset.
    check(&[(SIGNAL, ""), (BASE, "http://d:1/y"), (PROTOCOL, "")], "http/protobuf http://d:1/y/v1/metrics");
    // Without a scheme TLS is meant unless it is said to be insecure.
    check(&[(BASE, "c:4317"), (PROTOCOL, "grpc")], "grpc https://c:4317");
    let insecure = ("OTEL_EXPORTER_OTLP_METRICS_INSECURE", "TRUE");
    check(&[(BASE, "c:4317"), (PROTOCOL, "grpc"), insecure], "grpc http://c:4317");
    check(&[(BASE, "https://c:4317"), (PROTOCOL, "grpc"), insecure], "grpc https://c:4317");
}

#[test]
fn nothing_is_sent_where_no_endpoint_is_set() {
    let (values, _) = read(&[(PROTOCOL, "grpc"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=b")]);
    assert_eq!(values.resolve(), Ok(None));
}

#[test]
fn the_endpoint_of_the_configuration_file_means_grpc_and_loses() {
    let file = || Values {
        grpc_endpoint: Some(Said::new("http://c:4317".to_owned(), "telemetry.otel_endpoint")),
        ..Values::default()
    };
    let check = |variables: &[(&str, &str)], expect: &str| {
        let settings = read(variables).0.or(file()).resolve().expect("settings").expect("an endpoint");
        assert_eq!(format!("{} {}", settings.protocol, settings.endpoint), expect, "{variables:?}");
    };
    check(&[], "grpc http://c:4317");
    check(&[(PROTOCOL, "http/protobuf")], "http/protobuf http://c:4317/v1/metrics");
    check(&[(BASE, "http://d:4318")], "http/protobuf http://d:4318/v1/metrics");
}

#[test]
fn every_variable_has_its_setting_and_that_of_metrics_wins() {
    let names = ["HEADERS", "COMPRESSION", "TIMEOUT", "CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"];
    let general = ["authorization=s3cret", "gzip", "2500", "/ca", "/key", "/cert"];
    let ours = ["x=s3cret", "zstd", "1", "/our/ca", "/our/key", "/our/cert"];
    let mut variables: Vec<_> = names
        .iter()
        .zip(general)
        .map(|(name, value)| (format!("OTEL_EXPORTER_OTLP_{name}"), value))
        .collect();
    let borrowed = |variables: &[(String, &'static str)]| {
        resolve(&variables.iter().map(|(name, value)| (name.as_str(), *value)).collect::<Vec<_>>())
    };
    let settings = borrowed(&variables);
    assert_eq!(settings.headers.names().collect::<Vec<_>>(), ["authorization"]);
    assert_eq!(settings.compression, Compression::Gzip);
    assert_eq!(settings.timeout.as_millis(), 2500);
    assert_eq!(settings.tls.certificate.as_deref(), Some("/ca".as_ref()));
    let client = |certificate: &str, key: &str| {
        Some(ClientCertificate { certificate: certificate.into(), key: key.into() })
    };
    assert_eq!(settings.tls.client, client("/cert", "/key"));

    variables.extend(
        names.iter().zip(ours).map(|(name, value)| (format!("OTEL_EXPORTER_OTLP_METRICS_{name}"), value)),
    );
    let settings = borrowed(&variables);
    assert_eq!(settings.headers.names().collect::<Vec<_>>(), ["x"]);
    assert_eq!((settings.compression, settings.timeout.as_millis()), (Compression::Zstd, 1));
    assert_eq!(settings.tls.certificate.as_deref(), Some("/our/ca".as_ref()));
    assert_eq!(settings.tls.client, client("/our/cert", "/our/key"));

    let shown = format!("{settings:?} {}", serde_json::to_string(&settings).expect("serialisable"));
    assert!(!shown.contains("s3cret") && shown.contains("<hidden>"), "{shown}");
}

#[test]
fn the_defaults_are_those_of_the_specification() {
    let settings = resolve(&[]);
    assert_eq!((settings.compression, settings.timeout.as_secs()), (Compression::None, 10));
    assert!(settings.headers.is_empty());
}

#[track_caller]
fn check_error(name: &str, value: &str, expect: &str) {
    let (values, errors) = read(&[(BASE, "http://c"), (name, value)]);
    let error = match (values.resolve(), errors.as_slice()) {
        (Err(error), []) => error,
        (Ok(Some(_)), [error]) => error.clone(),
        found => panic!("{name}={value}: {found:?}"),
    };
    let text = error.to_string();
    assert!(text.starts_with(&format!("failed to use {name}: ")) && text.contains(expect), "{text}");
    assert!(!text.contains("s3cret") && !text.contains('\n'), "{text}");
}

#[test]
fn what_cannot_be_used_is_told_with_its_variable() {
    check_error(SIGNAL, "c:4318", "write http:// or https://");
    check_error(SIGNAL, "ftp://me:s3cret@c?s3cret", "ftp:// is not known");
    check_error(PROTOCOL, "http/json", "grpc or http/protobuf");
    check_error("OTEL_EXPORTER_OTLP_INSECURE", "yes", "true or false");
    check_error("OTEL_EXPORTER_OTLP_HEADERS", "s3cret", "entry 1 has no \"=\"");
    check_error("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "deflate", "none, gzip or zstd");
    check_error("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds");
    check_error("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "above 0");
    check_error("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key", "set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE too");
    check_error("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/cert", "set OTEL_EXPORTER_OTLP_CLIENT_KEY too");
}

#[test]
fn a_variable_of_metrics_that_cannot_be_used_leaves_the_general_one() {
    let (values, errors) =
        read(&[("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "soon"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000")]);
    assert_eq!(errors.len(), 1);
    assert_eq!(values.resolve_or_local().expect("settings").timeout.as_secs(), 5);
}

proptest! {
    #[test]
    fn nothing_panics_and_no_error_shows_a_header(values in prop::collection::vec(any::<String>(), 19), secret in "[a-z]{12}") {
        let names = ["ENDPOINT", "PROTOCOL", "INSECURE", "COMPRESSION", "TIMEOUT", "CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"];
        let mut variables: Vec<(String, String)> = Vec::new();
        for (at, value) in values.iter().enumerate() {
            let prefix = if at % 2 == 0 { "OTEL_EXPORTER_OTLP_" } else { "OTEL_EXPORTER_OTLP_METRICS_" };
            variables.push((format!("{prefix}{}", names[at / 2 % names.len()]), value.clone()));
        }
        variables.push(("OTEL_EXPORTER_OTLP_HEADERS".to_owned(), format!("a={secret},{secret}")));
        let borrowed: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (values, errors) = read(&borrowed);
        for error in errors.iter().chain(values.resolve().err().iter()) {
            prop_assert!(!error.to_string().contains(&secret));
        }
    }
}
