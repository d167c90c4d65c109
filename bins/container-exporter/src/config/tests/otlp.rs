//! Where metrics are sent: who wins, and what cannot be used.

use otlp_client::Compression;
use sink_otlp::{Identity, Names};

use super::*;
use crate::config::settings::Otlp;

/// Protocol and endpoint.
#[track_caller]
fn check(case: &Case, expect: Option<&str>) {
    let settings = case.settings();
    assert_eq!(settings.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
    let found = settings.otlp.map(|otlp| format!("{} {}", otlp.client.protocol, otlp.client.endpoint));
    assert_eq!(found.as_deref(), expect);
}

#[test]
fn an_endpoint_switches_it_on_and_says_the_protocol() {
    check(&Case::new(), None);
    check(&Case::new().file("[otlp]\nprotocol = \"grpc\"\n"), None);
    let s0 = "[telemetry]\notel_endpoint = \"http://c:4317\"\n";
    check(&Case::new().file(s0), Some("grpc http://c:4317"));
    let otel = |case: Case| case.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://d:4318/x");
    check(&otel(Case::new()), Some("http/protobuf http://d:4318/x/v1/metrics"));
    check(&otel(Case::new().file(s0)), Some("http/protobuf http://d:4318/x/v1/metrics"));
    check(&otel(Case::new()).env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), Some("grpc http://d:4318"));
    let signal = "http://p:9090/api/v1/otlp/v1/metrics";
    let case = otel(Case::new()).env("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", signal);
    check(&case, Some(&format!("http/protobuf {signal}")));
    // Ours win over those of the specification.
    let case = otel(Case::new()).env("CONTAINER_EXPORTER__OTLP__ENDPOINT", "http://e");
    check(&case, Some("http/protobuf http://e:80/v1/metrics"));
    // Without a scheme, TLS is meant unless it is said to be insecure.
    let bare = "[otlp]\nendpoint = \"c:4317\"\nprotocol = \"grpc\"\n";
    check(&Case::new().file(bare), Some("grpc https://c:4317"));
    check(&Case::new().file(bare).env("OTEL_EXPORTER_OTLP_INSECURE", "true"), Some("grpc http://c:4317"));
}

#[test]
fn the_exporter_that_is_named_switches_it_on_and_off() {
    let exporter = |word: &str| format!("[telemetry]\notel_exporter = \"{word}\"\n");
    check(&Case::new().file(&exporter("otlp")), Some("http/protobuf http://localhost:4318/v1/metrics"));
    for word in ["none", "prometheus"] {
        check(&Case::new().file(&(exporter(word) + "otel_endpoint = \"http://c:4317\"\n")), None);
    }
}

fn otlp(case: &Case) -> Otlp {
    case.settings().otlp.expect("an endpoint is set")
}

#[test]
fn every_key_arrives() {
    let text = fixture("all.toml").replace("otel_exporter = \"none\"", "otel_exporter = \"otlp\"");
    let otlp = otlp(&Case::new().file(&text));
    assert_eq!(otlp.client.endpoint.to_string(), "https://b:443/v1/metrics");
    assert_eq!((otlp.client.timeout.as_secs(), otlp.interval.as_secs()), (5, 30));
    assert_eq!((otlp.client.compression, otlp.client.queue_bytes_max), (Compression::Gzip, 10_000_000));
    assert_eq!(otlp.client.headers.names().collect::<Vec<_>>(), ["authorization"]);
    assert_eq!(otlp.client.tls.certificate.as_deref(), Some("ca.pem".as_ref()));
    let client = otlp.client.tls.client.as_ref().expect("a certificate");
    assert_eq!(
        (client.certificate.as_path(), client.key.as_path()),
        ("client.pem".as_ref(), "client.key".as_ref())
    );
    assert_eq!((otlp.identity, otlp.names), (Identity::Both, Names::Prometheus));
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(otlp.resource, [pair("service.name", "x"), pair("deployment.environment", "test")]);
}

/// What a variable sets, as text.
type Shown = fn(&Otlp) -> String;

/// Every variable of the specification for metrics, in both forms: what each sets, and that the nearer one wins.
#[test]
fn every_variable_of_the_specification_arrives() {
    fn client(otlp: &Otlp) -> &otlp_client::Settings {
        &otlp.client
    }
    fn path(path: Option<&std::path::PathBuf>) -> String {
        path.expect("a path").display().to_string()
    }
    let of_both: [(&str, [&str; 2], [&str; 2], Shown); 8] = [
        ("PROTOCOL", ["http/protobuf", "grpc"], ["http/protobuf", "grpc"], |otlp| {
            client(otlp).protocol.to_string()
        }),
        ("HEADERS", ["a=1%202", "m=3"], ["a", "m"], |otlp| client(otlp).headers.names().collect()),
        ("COMPRESSION", ["gzip", "zstd"], ["gzip", "zstd"], |otlp| client(otlp).compression.to_string()),
        ("TIMEOUT", ["2500", "700"], ["2.5s", "700ms"], |otlp| format!("{:?}", client(otlp).timeout)),
        ("CERTIFICATE", ["/a", "/m"], ["/a", "/m"], |otlp| path(client(otlp).tls.certificate.as_ref())),
        ("CLIENT_KEY", ["/ak", "/mk"], ["/ak", "/mk"], |otlp| {
            path(client(otlp).tls.client.as_ref().map(|files| &files.key))
        }),
        ("CLIENT_CERTIFICATE", ["/ac", "/mc"], ["/ac", "/mc"], |otlp| {
            path(client(otlp).tls.client.as_ref().map(|files| &files.certificate))
        }),
        ("ENDPOINT", ["https://a", "https://m/x"], ["https://a:443/v1/metrics", "https://m:443/x"], |otlp| {
            client(otlp).endpoint.to_string()
        }),
    ];
    for (name, [all, own], [of_all, of_own], shown) in of_both {
        let mut case = Case::new();
        // A key and its certificate go together.
        for (other, file) in [("CLIENT_KEY", "/key"), ("CLIENT_CERTIFICATE", "/certificate")] {
            if name.starts_with("CLIENT_") && name != other {
                case = case.env(&format!("OTEL_EXPORTER_OTLP_{other}"), file);
            }
        }
        if name != "ENDPOINT" {
            case = case.env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c");
        }
        let case = case.env(&format!("OTEL_EXPORTER_OTLP_{name}"), all);
        assert_eq!(shown(&otlp(&case)), of_all, "{name}");
        let case = case.env(&format!("OTEL_EXPORTER_OTLP_METRICS_{name}"), own);
        assert_eq!(shown(&otlp(&case)), of_own, "METRICS_{name}");
        assert_eq!(case.settings().warnings.len(), 0, "{name}");
    }
    // Of a name without a scheme, by gRPC.
    for (all, own, scheme) in [("true", "false", "https"), ("false", "true", "http")] {
        let case = Case::new()
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317")
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
            .env("OTEL_EXPORTER_OTLP_INSECURE", all)
            .env("OTEL_EXPORTER_OTLP_METRICS_INSECURE", own);
        check(&case, Some(&format!("grpc {scheme}://c:4317")));
    }
    let case = Case::new()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "45000")
        .env("OTEL_RESOURCE_ATTRIBUTES", "team=a%2Cb")
        .env("OTEL_SERVICE_NAME", "shop");
    assert_eq!(otlp(&case).interval.as_secs(), 45);
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(otlp(&case).resource, [pair("service.name", "shop"), pair("team", "a,b")]);
}

#[test]
fn a_name_that_was_set_wins_over_the_resource_attributes_and_the_default_does_not() {
    let case = || {
        let case = Case::new().env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
        case.env("OTEL_RESOURCE_ATTRIBUTES", "service.name=attribute,a=b")
    };
    let name = |case: &Case| {
        let found = otlp(case).resource.into_iter().find(|(key, _)| key == "service.name");
        found.map(|(_, value)| value)
    };
    assert_eq!(name(&case()).as_deref(), Some("attribute"));
    assert_eq!(name(&case().env("OTEL_SERVICE_NAME", "mine")).as_deref(), Some("mine"));
}

#[test]
fn what_cannot_be_used_is_told_without_secrets() {
    let errors = Case::new()
        .file("[otlp]\nendpoint = \"me:hidden@c:4318\"\nheaders = { host = \"hidden\" }\n")
        .errors();
    insta::assert_snapshot!(errors, @r#"CONFIG:3: `otlp.headers`: "host" is set by the client itself; leave it out"#);
    let errors = Case::new().file("[otlp]\nendpoint = \"me:hidden@c:4318\"\n").errors();
    insta::assert_snapshot!(errors, @r#"CONFIG:2: `otlp.endpoint`: "c:4318": it has no scheme; write http:// or https:// before it"#);
    let errors = Case::new().file("[otlp]\nendpoint = \"http://c\"\nclient_key = \"/k\"\n").errors();
    insta::assert_snapshot!(errors, @"CONFIG:3: `otlp.client_key`: the client's certificate and its key go together: set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE too, or neither");
    // The specification wants a warning for its variables, and the exporter to go on.
    let settings = Case::new().env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318").settings();
    assert_eq!(settings.otlp, None);
    insta::assert_snapshot!(settings.warnings[0], @r#"OTEL_EXPORTER_OTLP_ENDPOINT: `otlp.endpoint`: "collector:4318": it has no scheme; write http:// or https:// before it; nothing is sent by OTLP"#);
}
