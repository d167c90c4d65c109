//! The built program sends its own traces: those of its callers, a part of its own, to the end, and none where it is off.

#[path = "support/program.rs"]
mod program;
#[path = "support/receiver.rs"]
mod receiver;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use program::Exporter;
use rustix::process::Signal;
use test_support::{Cgroups, PATIENCE, RecordedEngine, Tree};

/// The trace of a caller, and its span.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

type Receiver = receiver::Receiver<ExportTraceServiceRequest>;
type Seen = receiver::Seen<ExportTraceServiceRequest>;

impl Receiver {
    fn start() -> Self {
        // Metrics come to the same endpoint where it is one for all signals.
        Self::of(|path| !path.to_lowercase().contains("metrics"))
    }

    /// Waits for what is found among the spans that came so far.
    #[track_caller]
    fn wait<T>(&self, what: &str, find: impl FnMut(&[Seen]) -> Option<T>) -> T {
        self.find(find).unwrap_or_else(|seen| {
            let names: Vec<String> = spans(&seen).into_iter().map(|span| span.name).collect();
            panic!("{what} did not come, only {names:?}")
        })
    }

    /// Waits for a span by its name.
    #[track_caller]
    fn span(&self, name: &str) -> Span {
        self.wait(name, |seen| spans(seen).into_iter().find(|span| span.name == name))
    }

    fn traces(&self) -> BTreeSet<String> {
        spans(&self.seen()).iter().map(|span| hex(&span.trace_id)).collect()
    }
}

fn spans(seen: &[Seen]) -> Vec<Span> {
    let resources = seen.iter().flat_map(|seen| &seen.request.resource_spans);
    resources.flat_map(|spans| &spans.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An exporter of simulated containers, whose batches are sent after so many milliseconds.
#[track_caller]
fn start(config: &str, batch_ms: &str) -> Exporter {
    of("sim:3", config, batch_ms)
}

#[track_caller]
fn of(source: &str, config: &str, batch_ms: &str) -> Exporter {
    Exporter::start(source, &[("OTEL_BSP_SCHEDULE_DELAY", batch_ms)], config)
}

impl Exporter {
    /// A page for somebody whose request has this header.
    fn scrape(&self, traceparent: Option<&str>) -> String {
        self.page(&traceparent.map(|value| format!("traceparent: {value}\r\n")).unwrap_or_default())
    }

    fn text(&self) -> String {
        self.log().join("\n")
    }

    /// Threads by their names, which the kernel cuts.
    fn threads(&self) -> BTreeSet<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.map(|name| name.trim().to_owned()).collect()
    }
}

fn sampled() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

#[test]
fn a_scrape_is_part_of_its_callers_trace_by_both_protocols() {
    for (protocol, path) in [
        ("http/protobuf", "/v1/traces"),
        ("grpc", "/opentelemetry.proto.collector.trace.v1.TraceService/Export"),
    ] {
        let receiver = Receiver::start();
        // No trace of its own begins here, and no export shares its collection with the scrape.
        let exporter = start(
            &format!(
                "[telemetry]\nservice_name = \"shop\"\n[otlp]\nprotocol = \"{protocol}\"\n\
                 headers = {{ x-scope = \"s3cret\" }}\nresource_attributes = {{ team = \"core\" }}\n\
                 [metrics]\nmax_age_ms = 0\n[traces]\nendpoint = \"http://{}/v1/traces\"\nratio = 0\n",
                receiver.address
            ),
            "50",
        );
        exporter.scrape(Some(&sampled()));
        let request = receiver.span("GET /metrics");
        assert_eq!((hex(&request.trace_id), hex(&request.parent_span_id)), (TRACE.into(), PARENT.into()));
        assert_eq!(request.kind, SpanKind::Server as i32);
        let collect = receiver.span("collect");
        assert_eq!((&collect.trace_id, &collect.parent_span_id), (&request.trace_id, &request.span_id));
        for name in ["read", "assemble"] {
            let part = receiver.span(name);
            assert_eq!(
                (&part.trace_id, &part.parent_span_id),
                (&collect.trace_id, &collect.span_id),
                "{name}"
            );
        }
        assert_eq!(receiver.traces(), BTreeSet::from([TRACE.to_owned()]));
        let seen = receiver.wait("a request", |seen| seen.first().cloned());
        assert_eq!((seen.path.as_str(), seen.headers["x-scope"].as_bytes()), (path, &b"s3cret"[..]));
        is_the_resource(&seen, &exporter);
        assert!(!exporter.text().contains("s3cret"), "{}", exporter.text());
    }
}

fn is_the_resource(seen: &Seen, exporter: &Exporter) {
    let resource = seen.request.resource_spans[0].resource.as_ref().expect("a resource");
    let of = |key: &str| {
        let found = resource.attributes.iter().find(|attribute| attribute.key == key)?;
        found.value.as_ref()?.value.clone()
    };
    let text = |text: &str| Some(Value::StringValue(text.to_owned()));
    assert_eq!(of("service.name"), text("shop"));
    assert_eq!(of("team"), text("core"));
    assert_eq!(of("service.version"), text(env!("CARGO_PKG_VERSION")));
    assert_eq!(of("os.type"), text("linux"));
    assert_eq!(of("process.pid"), Some(Value::IntValue(exporter.child.id().into())));
    assert_eq!(of("process.executable.name"), text("container-exporter"));
    assert_eq!(of("process.runtime.name"), text("rust"));
    assert_eq!(of("host.name"), of("service.instance.id"));
    assert!(of("host.name").is_some());
}

/// `opentelemetry-otlp` would read them, too: what is compressed, addressed and signed is so once.
#[test]
fn variables_of_the_specification_hold_once() {
    for (protocol, compression) in [("grpc", "gzip"), ("http/protobuf", "gzip"), ("http/protobuf", "none")] {
        let receiver = Receiver::start();
        let endpoint = format!("http://{}", receiver.address);
        let environment = [
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", compression),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-scope=s3%20cret"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000"),
        ];
        let exporter = Exporter::start("sim:3", &environment, "");
        exporter.scrape(Some(&sampled()));
        assert_eq!(hex(&receiver.span("GET /metrics").trace_id), TRACE);
        let seen = receiver.wait("a request", |seen| seen.first().cloned());
        assert_eq!(seen.headers.get_all("x-scope").iter().collect::<Vec<_>>(), ["s3 cret"]);
        let encoding = if protocol == "grpc" { "grpc-encoding" } else { "content-encoding" };
        let encoding = seen.headers.get(encoding).map(|value| value.to_str().expect("a text"));
        assert_eq!(encoding.unwrap_or("none"), compression, "{protocol}");
    }
}

#[test]
fn the_caller_decides_and_else_the_ratio() {
    for (ratio, begins) in [("0", false), ("1", true)] {
        let receiver = Receiver::start();
        let endpoint = receiver.address;
        let config = format!("[traces]\nendpoint = \"http://{endpoint}/v1/traces\"\nratio = {ratio}\n");
        let exporter = start(&config, "50");
        let unsampled = "11111111111111111111111111111111";
        exporter.scrape(Some(&format!("00-{unsampled}-{PARENT}-00")));
        exporter.scrape(None);
        // What is no `traceparent` is none.
        exporter.scrape(Some("00-0-0-01"));
        // The last one has everything before it sent.
        exporter.scrape(Some(&sampled()));
        let requests = receiver.wait("the last scrape", |seen| {
            let spans = spans(seen);
            let mut requests = spans.iter().filter(|span| span.name == "GET /metrics");
            requests.any(|span| hex(&span.trace_id) == TRACE).then(|| {
                spans
                    .iter()
                    .filter(|span| span.name == "GET /metrics")
                    .map(|span| hex(&span.trace_id))
                    .collect()
            })
        });
        let requests: Vec<String> = requests;
        assert_eq!(requests.len(), if begins { 3 } else { 1 }, "{requests:?}");
        assert!(!requests.iter().any(|trace| trace == unsampled), "{requests:?}");
    }
}

/// What a span says of itself by a key.
fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        other => panic!("{key} is {other:?}"),
    }
}

/// The socket of an engine, and its port, which has the containers that Docker was recorded with; it runs as long as the
/// test.
fn recorded_engine() -> (std::path::PathBuf, u16) {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut engine = RecordedEngine::start();
            engine.play_docker();
            let port = engine.listen_tcp(None).await;
            tell.send((engine.socket(), port)).expect("the test waits");
            std::future::pending::<()>().await;
        });
    });
    told.recv().expect("an engine")
}

#[test]
fn what_an_engine_is_asked_are_traces_of_their_own() {
    let (socket, _) = recorded_engine();
    let receiver = Receiver::start();
    let config = format!(
        "[docker]\nsocket_path = {socket:?}\n[traces]\nendpoint = \"http://{}/v1/traces\"\nratio = 1\n",
        receiver.address
    );
    let _exporter = of("docker", &config, "50");
    for name in ["list", "inspect"] {
        let span = receiver.span(name);
        assert_eq!((span.kind, span.parent_span_id.len()), (SpanKind::Client as i32, 0), "{name}");
        assert_eq!(attribute(&span, "source").as_deref(), Some("docker"), "{name}");
        assert_eq!(attribute(&span, "container.id").is_some(), name == "inspect");
    }
}

/// An engine on another machine is asked for the numbers as well.
#[test]
fn a_request_for_numbers_is_a_trace_of_its_own() {
    let (_, port) = recorded_engine();
    let receiver = Receiver::start();
    let config = format!(
        "[docker]\nhosts = [\"tcp://127.0.0.1:{port}\"]\n[traces]\nendpoint = \"http://{}/v1/traces\"\nratio = 1\n",
        receiver.address
    );
    let exporter = of("docker", &config, "50");
    exporter.scrape(None);
    let span = receiver.span("stats");
    assert_eq!((span.kind, span.parent_span_id.len()), (SpanKind::Client as i32, 0));
    assert_eq!(attribute(&span, "container.id").expect("whose").len(), 64);
}

#[test]
fn a_scan_of_cgroups_is_a_trace_of_its_own() {
    let tree = Tree::machine(Cgroups::V2);
    let id = "a1".repeat(32);
    tree.cgroup(&format!("/system.slice/docker-{id}.scope"), &[7]);
    tree.process(7, 1.0);
    let (root, proc) = (tree.path("sys/fs/cgroup"), tree.path("proc"));
    let receiver = Receiver::start();
    let config = format!(
        "[cgroup]\nroot = {root:?}\nproc_root = {proc:?}\n[traces]\nendpoint = \"http://{}/v1/traces\"\nratio = 1\n",
        receiver.address
    );
    let exporter = of("cgroup", &config, "50");
    let span = receiver.span("scan");
    assert_eq!((span.kind, span.parent_span_id.len()), (SpanKind::Internal as i32, 0));
    assert_eq!(attribute(&span, "source").as_deref(), Some("cgroup"));
    let page = exporter.scrape(None);
    assert!(page.contains(&format!("container_id=\"{}\"", &id[..12])), "{page}");
}

/// What leaves by OTLP is collected for it, once each interval.
#[test]
fn an_export_is_a_trace_with_its_collection() {
    let receiver = Receiver::start();
    let config = format!(
        "[otlp]\nendpoint = \"http://{}\"\ninterval = 1\n[metrics]\nmax_age_ms = 0\n[traces]\nratio = 1\n",
        receiver.address
    );
    let _exporter = start(&config, "50");
    let export = receiver.span("export");
    assert_eq!((export.kind, export.parent_span_id.len()), (SpanKind::Internal as i32, 0));
    let collect = receiver.wait("its collection", |seen| {
        let of_export = |span: &Span| span.name == "collect" && span.parent_span_id == export.span_id;
        spans(seen).into_iter().find(of_export)
    });
    assert_eq!(collect.trace_id, export.trace_id);
}

#[test]
fn a_line_in_json_has_the_ids_of_its_span() {
    let receiver = Receiver::start();
    let endpoint = receiver.address;
    let exporter = start(
        &format!(
            "[traces]\nendpoint = \"http://{endpoint}/v1/traces\"\n[logging]\nlevel = \"debug\"\nformat = \"json\"\n"
        ),
        "50",
    );
    exporter.scrape(Some(&sampled()));
    let line = exporter.line("answering a scrape");
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["trace_id"], TRACE, "{line}");
    assert_eq!(line["span_id"], hex(&receiver.span("GET /metrics").span_id), "{line}");
    let other: serde_json::Value = serde_json::from_str(&exporter.line("serving http://")).expect("JSON");
    assert!(other.get("trace_id").is_none(), "{other}");
}

#[test]
fn the_end_of_the_process_sends_what_waits() {
    let receiver = Receiver::start();
    let endpoint = receiver.address;
    let config = format!("[traces]\nendpoint = \"http://{endpoint}/v1/traces\"\nratio = 0\n");
    let mut exporter = start(&config, "3600000");
    exporter.scrape(Some(&sampled()));
    assert_eq!(receiver.traces(), BTreeSet::new());
    exporter.signal(Signal::TERM);
    assert!(exporter.child.wait().expect("its end").success());
    assert_eq!(hex(&receiver.span("GET /metrics").trace_id), TRACE);
}

/// Metrics and traces have one bound together, so a receiver that stands still with the ones does not cost the others.
#[test]
fn the_last_metrics_and_traces_are_sent_side_by_side() {
    let receiver = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = receiver.local_addr().expect("bound");
    // It answers metrics only after it has traces.
    let traces = Arc::<(Mutex<bool>, Condvar)>::default();
    std::thread::spawn(move || {
        for stream in receiver.incoming().map_while(Result::ok) {
            let traces = Arc::clone(&traces);
            std::thread::spawn(move || answer_in_turn(stream, &traces));
        }
    });
    let mut exporter =
        start(&format!("[otlp]\nendpoint = \"http://{endpoint}\"\ninterval = 3600\n"), "3600000");
    exporter.scrape(Some(&sampled()));
    exporter.signal(Signal::TERM);
    assert!(exporter.child.wait().expect("its end").success());
    exporter.line("takes traces");
    exporter.line("takes metrics");
    let log = exporter.text();
    assert!(!log.contains("not delivered"), "{log}");
}

/// Requests of one connection, until it ends.
fn answer_in_turn(stream: TcpStream, traces: &(Mutex<bool>, Condvar)) {
    let mut requests = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if requests.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let is_of_traces = line.contains("/v1/traces");
        while line.trim() != "" {
            line.clear();
            requests.read_line(&mut line).expect("a line");
            if let Some(("content-length", value)) = line.split_once(':') {
                length = value.trim().parse().expect("a number");
            }
        }
        std::io::copy(&mut requests.by_ref().take(length), &mut std::io::sink()).expect("a body");
        let mut seen = traces.0.lock().expect("unpoisoned");
        *seen |= is_of_traces;
        traces.1.notify_all();
        drop(traces.1.wait_while(seen, |seen| !*seen).expect("unpoisoned"));
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        requests.get_mut().write_all(answer).expect("it waits for it");
    }
}

/// Nobody answers: the process ends all the same, and says what it leaves.
#[test]
fn what_a_receiver_never_takes_is_told_at_the_end() {
    // Connections come as far as the kernel's backlog.
    let receiver = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = receiver.local_addr().expect("bound");
    let mut exporter =
        start(&format!("[otlp]\nendpoint = \"http://{endpoint}\"\ninterval = 3600\n"), "3600000");
    exporter.scrape(Some(&sampled()));
    exporter.signal(Signal::TERM);
    assert!(exporter.child.wait().expect("its end").success());
    exporter.line("data points were not delivered to");
    let line = exporter.line("spans were not delivered before the end");
    let spans = line.split_whitespace().find_map(|word| word.parse::<u64>().ok()).expect("a number");
    // That of the scrape, and of a collection that had its own.
    assert!(spans > 0, "{line}");
}

#[test]
fn a_reload_changes_endpoint_and_headers() {
    let (first, second) = (Receiver::start(), Receiver::start());
    let config = |receiver: &Receiver, value: &str| {
        let endpoint = receiver.address;
        format!(
            "[traces]\nendpoint = \"http://{endpoint}/x\"\nratio = 0\nheaders = {{ key = \"{value}\" }}\n"
        )
    };
    let exporter = start(&config(&first, "s3cret1"), "50");
    exporter.scrape(Some(&sampled()));
    first.wait("a request", |seen| seen.iter().find(|seen| seen.headers["key"] == "s3cret1").map(drop));
    std::fs::write(&exporter.config, config(&second, "s3cret2")).expect("written");
    exporter.signal(Signal::HUP);
    exporter.line("configuration read again");
    exporter.scrape(Some(&sampled()));
    second.wait("a request", |seen| seen.iter().find(|seen| seen.headers["key"] == "s3cret2").map(drop));
    assert!(!exporter.text().contains("s3cret"), "{}", exporter.text());
}

/// The thread of the SDK's batch processor is there if and only if traces are sent.
#[test]
fn where_no_endpoint_is_set_there_is_no_sdk() {
    let of_sdk = |exporter: &Exporter| {
        exporter.threads().into_iter().filter(|name| name.starts_with("OpenTelemetry")).count()
    };
    let off = start("", "50");
    let page = off.scrape(Some(&sampled()));
    assert_eq!(of_sdk(&off), 0, "{:?}", off.threads());
    assert!(page.contains("\nprocess_cpu_seconds_total ") && !page.contains("otlp_spans"), "{page}");
    let receiver = Receiver::start();
    let endpoint = receiver.address;
    let on = start(&format!("[traces]\nendpoint = \"http://{endpoint}/v1/traces\"\n"), "50");
    assert_eq!(of_sdk(&on), 1, "{:?}", on.threads());
    assert!(on.scrape(Some(&sampled())).contains("\notlp_spans_created_total"), "{}", on.text());
}

#[test]
fn a_receiver_that_is_away_is_told_once_counted_and_holds_nothing_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = listener.local_addr().expect("bound");
    drop(listener);
    let exporter = start(
        &format!(
            "[traces]\nendpoint = \"http://me:s3cret@{endpoint}/v1/traces\"\nratio = 1\ntimeout = 0.1\n"
        ),
        "50",
    );
    let failed = "otlp_spans_export_errors_total{error_type=\"timeout\",exporter=\"otlp\"} ";
    let is_counted = |page: String| {
        page.lines().any(|line| line.strip_prefix(failed).is_some_and(|spans| spans.trim() != "0"))
    };
    let started = Instant::now();
    while !is_counted(exporter.scrape(None)) {
        assert!(started.elapsed() < PATIENCE, "{}\n{}", exporter.scrape(None), exporter.text());
    }
    exporter.line("failed to deliver traces to");
    let log = exporter.text();
    assert_eq!(log.matches("failed to deliver traces to").count(), 1, "{log}");
    assert!(!log.contains("s3cret"), "{log}");
}
