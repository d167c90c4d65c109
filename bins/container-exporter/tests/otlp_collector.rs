//! A real OpenTelemetry Collector takes what is sent, by both protocols, and hands on the same.
//!
//! `CONTAINER_EXPORTER_OTELCOL` names the program, built from `otelcol-builder.yaml` beside this file.

#[path = "support/simulated.rs"]
mod simulated;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use collector_core::Snapshot;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, metric::Data};
use otlp_client::{Client, Compression, Payload, Protocol, Said, Values};
use prost::Message as _;
use simulated::snapshot;
use sink_otlp::{Options, OtlpSink};
use tempfile::TempDir;

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// Names the program.
const PROGRAM: &str = "CONTAINER_EXPORTER_OTELCOL";

/// What has come from the collector.
type Seen = Arc<Mutex<Vec<ExportMetricsServiceRequest>>>;

/// A collector that hands what it takes on to this program.
struct Collector {
    child: Child,
    grpc: SocketAddr,
    http: SocketAddr,
    seen: Seen,
    _folder: TempDir,
}

impl Collector {
    /// `None` where nobody named one.
    async fn start() -> Option<Self> {
        let program = std::env::var_os(PROGRAM)?;
        let folder = tempfile::tempdir().expect("a folder");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let us = listener.local_addr().expect("bound");
        let seen = Seen::default();
        let kept = Arc::clone(&seen);
        // It ends with the test program.
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                thread::spawn(move || take(connection, &kept));
            }
        });
        // Ports have to be known before their owner starts: taken and left again.
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr());
        let (grpc, http) = (free().expect("a port"), free().expect("a port"));
        let config = folder.path().join("otelcol.yaml");
        let text = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{grpc}'}}, http: {{endpoint: '{http}'}}}}}}}}\n\
             exporters: {{otlphttp: {{endpoint: 'http://{us}', compression: none}}}}\n\
             service:\n  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}\n  \
             pipelines: {{metrics: {{receivers: [otlp], exporters: [otlphttp]}}}}\n"
        );
        std::fs::write(&config, text).expect("written");
        let child = Command::new(&program)
            .arg(format!("--config=file:{}", config.display()))
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{PROGRAM}: failed to run {}: {error}", program.display()));
        let mut collector = Self { child, grpc, http, seen, _folder: folder };
        let begin = Instant::now();
        for address in [grpc, http] {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                let ended = collector.child.try_wait().expect("its state");
                assert!(ended.is_none() && begin.elapsed() < PATIENCE, "it does not listen: {ended:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Some(collector)
    }

    /// What it has handed on so far.
    fn seen(&self) -> Vec<ExportMetricsServiceRequest> {
        self.seen.lock().expect("what came").clone()
    }
}

/// Takes the requests of a connection; ends with it.
fn take(connection: TcpStream, seen: &Seen) -> Option<()> {
    let mut answer = connection.try_clone().ok()?;
    let mut lines = BufReader::new(connection);
    loop {
        let mut length = None;
        let mut line = String::new();
        loop {
            line.clear();
            if lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().ok()
                }
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length?];
        lines.read_exact(&mut body).ok()?;
        seen.lock().ok()?.push(ExportMetricsServiceRequest::decode(&*body).expect("a request"));
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        answer.write_all(head.as_bytes()).ok()?;
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may be gone.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Every point with what stands around it: Resource, scope, metric.
fn flatten(requests: &[ExportMetricsServiceRequest]) -> BTreeMap<String, Vec<NumberDataPoint>> {
    let mut all: BTreeMap<String, Vec<NumberDataPoint>> = BTreeMap::new();
    for resource in requests.iter().flat_map(|request| &request.resource_metrics) {
        for scope in &resource.scope_metrics {
            for metric in &scope.metrics {
                let mut metric = metric.clone();
                let points = match metric.data.as_mut() {
                    Some(Data::Gauge(gauge)) => std::mem::take(&mut gauge.data_points),
                    Some(Data::Sum(sum)) => std::mem::take(&mut sum.data_points),
                    other => panic!("no such metric is sent: {other:?}"),
                };
                let around = format!("{:?} {:?} {metric:?}", resource.resource, scope.scope);
                all.entry(around).or_default().extend(points);
            }
        }
    }
    all
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
async fn it_hands_on_what_it_was_sent() {
    let Some(collector) = Collector::start().await else {
        return eprintln!("left out: {PROGRAM} names no OpenTelemetry Collector");
    };
    let snapshot = snapshot().await;
    let (grpc, http) = (collector.grpc, collector.http);
    for (protocol, address) in [(Protocol::Grpc, grpc), (Protocol::HttpProtobuf, http)] {
        let mut values = Values::default();
        values.endpoint = Some(Said::new(format!("http://{address}"), "the test"));
        values.protocol = Some(Said::new(protocol, "the test"));
        values.compression = Some(Said::new(Compression::Gzip, "the test"));
        let settings = values.resolve().expect("a URL").expect("an endpoint");
        let client = Client::start(settings).expect("no TLS");
        let mut sink = OtlpSink::new(Options::default());
        let before = collector.seen().len();
        // All containers, and then the end of all their series.
        let empty = Arc::new(Snapshot::empty(SystemTime::now()));
        let mut sent = Vec::new();
        for snapshot in [Arc::clone(&snapshot), empty] {
            for batch in sink.export(snapshot) {
                sent.push(ExportMetricsServiceRequest::decode(batch.body.clone()).expect("a request"));
                client.submit(Payload { body: batch.body, points: batch.points });
            }
        }
        let stats = Arc::clone(client.stats());
        client.shutdown(PATIENCE).await;
        let count = |all: &BTreeMap<String, Vec<NumberDataPoint>>| all.values().map(Vec::len).sum::<usize>();
        let sent = flatten(&sent);
        assert!(count(&sent) > 2_000, "{} points", count(&sent));
        assert_eq!(stats.snapshot().exported, count(&sent) as u64, "{protocol}: {:?}", stats.snapshot());
        let begin = Instant::now();
        let found = loop {
            let found = flatten(&collector.seen()[before..]);
            if count(&found) >= count(&sent) {
                break found;
            }
            assert!(begin.elapsed() < PATIENCE, "{protocol}: {} of {}", count(&found), count(&sent));
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        for (around, points) in &sent {
            assert_eq!(found.get(around), Some(points), "{protocol}: {around}");
        }
        assert_eq!(found.len(), sent.len());
    }
}
