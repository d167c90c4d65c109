//! The built program sends its own traces: those of its callers, a part of its own, to the end, and none where it is off.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message as _;
use rustix::process::{Pid, Signal, kill_process};
use test_support::RecordedEngine;

/// The longest that anything is waited for; nothing here takes more than a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// The trace of a caller, and its span.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A request that came.
#[derive(Clone)]
struct Seen {
    path: String,
    headers: HeaderMap,
    request: ExportTraceServiceRequest,
}

/// A receiver of both protocols, which takes everything.
struct Receiver {
    address: SocketAddr,
    seen: Arc<(Mutex<Vec<Seen>>, Condvar)>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        listener.set_nonblocking(true).expect("a socket");
        let seen = Arc::<(Mutex<Vec<Seen>>, Condvar)>::default();
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(serve(listener, kept));
        });
        Self { address, seen }
    }

    /// Waits for what is found among the spans that came so far.
    #[track_caller]
    fn wait<T>(&self, what: &str, mut find: impl FnMut(&[Seen]) -> Option<T>) -> T {
        let (seen, came) = &*self.seen;
        let mut found = None;
        let guard = came
            .wait_timeout_while(seen.lock().expect("seen"), PATIENCE, |seen| {
                found = find(seen);
                found.is_none()
            })
            .expect("seen");
        let names: Vec<String> = spans(&guard.0).into_iter().map(|span| span.name).collect();
        found.unwrap_or_else(|| panic!("{what} did not come, only {names:?}"))
    }

    /// Waits for a span by its name.
    #[track_caller]
    fn span(&self, name: &str) -> Span {
        self.wait(name, |seen| spans(seen).into_iter().find(|span| span.name == name))
    }

    fn traces(&self) -> BTreeSet<String> {
        spans(&self.seen.0.lock().expect("seen")).iter().map(|span| hex(&span.trace_id)).collect()
    }
}

fn spans(seen: &[Seen]) -> Vec<Span> {
    let resources = seen.iter().flat_map(|seen| &seen.request.resource_spans);
    resources.flat_map(|spans| &spans.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn serve(listener: TcpListener, seen: Arc<(Mutex<Vec<Seen>>, Condvar)>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    while let Ok((stream, _)) = listener.accept().await {
        let seen = Arc::clone(&seen);
        let service = hyper::service::service_fn(move |request| answer(request, Arc::clone(&seen)));
        tokio::spawn(async move {
            let connection = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // The exporter is stopped in the middle of what it does.
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<(Mutex<Vec<Seen>>, Condvar)>,
) -> Result<Response<BoxBody<Bytes, std::convert::Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let is_grpc = head.headers["content-type"] == "application/grpc";
    let message = if is_grpc { body.slice(5..) } else { body };
    let path = head.uri.path().to_owned();
    let request = ExportTraceServiceRequest::decode(message).expect("an export request");
    seen.0.lock().expect("seen").push(Seen { path, headers: head.headers, request });
    seen.1.notify_all();
    if !is_grpc {
        return Ok(Response::new(Full::default().boxed()));
    }
    let status = (http::HeaderName::from_static("grpc-status"), http::HeaderValue::from_static("0"));
    let trailers = HeaderMap::from_iter([status]);
    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async move { Some(Ok(trailers)) });
    let response = Response::builder().header("content-type", "application/grpc").body(body.boxed());
    Ok(response.expect("a response"))
}

/// A running exporter of simulated containers.
struct Exporter {
    child: Child,
    folder: tempfile::TempDir,
    address: String,
    log: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Exporter {
    /// Batches are sent after so many milliseconds.
    fn start(config: &str, batch_ms: &str) -> Self {
        Self::of("sim:3", config, batch_ms)
    }

    fn of(source: &str, config: &str, batch_ms: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.toml");
        std::fs::write(&path, config).expect("written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_container-exporter"))
            .env_clear()
            .env("OTEL_BSP_SCHEDULE_DELAY", batch_ms)
            .args(["--source", source, "--listen", "127.0.0.1:0", "--config"])
            .arg(&path)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let log = Arc::<(Mutex<Vec<String>>, Condvar)>::default();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.0.lock().expect("the log").push(line);
                kept.1.notify_all();
            }
        });
        let mut exporter = Self { child, folder, address: String::new(), log };
        let line = exporter.line("serving http://");
        let rest = line.split_once("serving http://").expect("just seen").1;
        exporter.address = rest.split("/metrics").next().expect("an address").to_owned();
        exporter
    }

    /// Waits for a line of the log.
    #[track_caller]
    fn line(&self, words: &str) -> String {
        let (log, came) = &*self.log;
        let mut found = None;
        let guard = came
            .wait_timeout_while(log.lock().expect("the log"), PATIENCE, |log| {
                found = log.iter().find(|line| line.contains(words)).cloned();
                found.is_none()
            })
            .expect("the log");
        found.unwrap_or_else(|| panic!("no {words:?} in {:#?}", *guard.0))
    }

    fn log(&self) -> String {
        self.log.0.lock().expect("the log").join("\n")
    }

    /// A page for somebody whose request has this header.
    fn scrape(&self, traceparent: Option<&str>) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let header = traceparent.map(|value| format!("traceparent: {value}\r\n")).unwrap_or_default();
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: x\r\n{header}connection: close\r\n\r\n")
            .expect("sent");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("a page");
        page
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }

    /// Threads by their names, which the kernel cuts.
    fn threads(&self) -> BTreeSet<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.map(|name| name.trim().to_owned()).collect()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
        let exporter = Exporter::start(
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
        assert!(!exporter.log().contains("s3cret"), "{}", exporter.log());
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

#[test]
fn the_caller_decides_and_else_the_ratio() {
    for (ratio, begins) in [("0", false), ("1", true)] {
        let receiver = Receiver::start();
        let endpoint = receiver.address;
        let config = format!("[traces]\nendpoint = \"http://{endpoint}/v1/traces\"\nratio = {ratio}\n");
        let exporter = Exporter::start(&config, "50");
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

#[test]
fn a_list_of_an_engine_is_a_trace_of_its_own() {
    let (sockets, socket) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let engine = RecordedEngine::start();
            sockets.send(engine.socket()).expect("the test waits");
            std::future::pending::<()>().await;
        });
    });
    let socket = socket.recv().expect("an engine");
    let receiver = Receiver::start();
    let config = format!(
        "[docker]\nsocket_path = {socket:?}\n[traces]\nendpoint = \"http://{}/v1/traces\"\nratio = 1\n",
        receiver.address
    );
    let _exporter = Exporter::of("docker", &config, "50");
    let span = receiver.span("list");
    assert_eq!((span.kind, span.parent_span_id.len()), (SpanKind::Client as i32, 0));
    let source = span.attributes.iter().find(|attribute| attribute.key == "source").expect("a source");
    let source = source.value.as_ref().and_then(|value| value.value.clone());
    assert_eq!(source, Some(Value::StringValue("docker".to_owned())));
}

#[test]
fn a_line_in_json_has_the_ids_of_its_span() {
    let receiver = Receiver::start();
    let endpoint = receiver.address;
    let exporter = Exporter::start(
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
    let mut exporter = Exporter::start(&config, "3600000");
    exporter.scrape(Some(&sampled()));
    assert_eq!(receiver.traces(), BTreeSet::new());
    exporter.signal(Signal::TERM);
    assert!(exporter.child.wait().expect("its end").success());
    assert_eq!(hex(&receiver.span("GET /metrics").trace_id), TRACE);
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
    let exporter = Exporter::start(&config(&first, "s3cret1"), "50");
    exporter.scrape(Some(&sampled()));
    first.wait("a request", |seen| seen.iter().find(|seen| seen.headers["key"] == "s3cret1").map(drop));
    std::fs::write(exporter.folder.path().join("config.toml"), config(&second, "s3cret2")).expect("written");
    exporter.signal(Signal::HUP);
    exporter.line("configuration read again");
    exporter.scrape(Some(&sampled()));
    second.wait("a request", |seen| seen.iter().find(|seen| seen.headers["key"] == "s3cret2").map(drop));
    assert!(!exporter.log().contains("s3cret"), "{}", exporter.log());
}

/// The thread of the SDK's batch processor is there if and only if traces are sent.
#[test]
fn where_no_endpoint_is_set_there_is_no_sdk() {
    let of_sdk = |exporter: &Exporter| {
        exporter.threads().into_iter().filter(|name| name.starts_with("OpenTelemetry")).count()
    };
    let off = Exporter::start("", "50");
    let page = off.scrape(Some(&sampled()));
    assert_eq!(of_sdk(&off), 0, "{:?}", off.threads());
    assert!(page.contains("\nprocess_cpu_seconds_total ") && !page.contains("otlp_spans"), "{page}");
    let receiver = Receiver::start();
    let endpoint = receiver.address;
    let on = Exporter::start(&format!("[traces]\nendpoint = \"http://{endpoint}/v1/traces\"\n"), "50");
    assert_eq!(of_sdk(&on), 1, "{:?}", on.threads());
    assert!(on.scrape(Some(&sampled())).contains("\notlp_spans_created_total"), "{}", on.log());
}

#[test]
fn a_receiver_that_is_away_is_told_once_counted_and_holds_nothing_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = listener.local_addr().expect("bound");
    drop(listener);
    let exporter = Exporter::start(
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
        assert!(started.elapsed() < PATIENCE, "{}\n{}", exporter.scrape(None), exporter.log());
    }
    exporter.line("failed to deliver traces to");
    let log = exporter.log();
    assert_eq!(log.matches("failed to deliver traces to").count(), 1, "{log}");
    assert!(!log.contains("s3cret"), "{log}");
}
