//! A real Prometheus takes what is sent by OTLP, and then has the numbers of the page of the same snapshot.
//!
//! `CONTAINER_EXPORTER_PROMETHEUS` names the program, which then has to take OTLP. Without it the one on PATH is tried, which
//! often does not: Debian's and Ubuntu's builds leave the receiver out.

#[path = "support/simulated.rs"]
mod simulated;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use collector_core::catalogue::{Dimension, ids};
use collector_core::{
    Absence, Container, ContainerId, ContainerSample, Engine, Reading, Sample, Snapshot, State,
    Value as Number,
};
use otlp_client::{Client, Payload, Said, Values};
use serde_json::Value;
use simulated::snapshot;
use sink_otlp::{Identity, Names, Options, OtlpSink};
use sink_prometheus::{PageRequest, PrometheusSink};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// The first version that takes OTLP.
const TAKES_OTLP: (u32, u32) = (2, 47);
/// The first version that makes labels of a Resource's attributes.
const PROMOTES: (u32, u32) = (2, 55);

/// Where it takes OTLP.
const OTLP: &str = "/api/v1/otlp/v1/metrics";

/// The labels of a series, its name among them as `__name__`.
type Labels = BTreeMap<String, String>;

/// Names the program.
const PROGRAM: &str = "CONTAINER_EXPORTER_PROMETHEUS";

/// Says that nothing was tried, where nobody has named a program with which it could have been.
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
fn leave_out(reason: &str) {
    assert!(std::env::var_os(PROGRAM).is_none(), "{PROGRAM} is set, but {reason}");
    eprintln!("left out: {reason}; {PROGRAM} names one that does");
}

/// A Prometheus that takes OTLP.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    promotes: bool,
    _folder: TempDir,
}

impl Prometheus {
    async fn start() -> Result<Self, String> {
        let program = std::env::var(PROGRAM).unwrap_or_else(|_| "prometheus".to_owned());
        let said = Command::new(&program).arg("--version").output();
        let said = said.map_err(|error| format!("failed to run {program}: {error}"))?;
        // 2.x wrote it to stderr for a while.
        let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        let version = said.split_once("version ").and_then(|(_, rest)| {
            let mut numbers = rest.split('.').map(str::parse::<u32>);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        });
        let version = version.ok_or_else(|| format!("{program} says no version: {said}"))?;
        if version < TAKES_OTLP {
            return Err(format!("{program} is {version:?}, before {TAKES_OTLP:?}, and takes no OTLP"));
        }
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("prometheus.yml");
        let promotes = version >= PROMOTES;
        let promote = "otlp: {promote_resource_attributes: [container.id, container.name]}\n";
        std::fs::write(&config, if promotes { promote } else { "" }).expect("a file");
        // A port has to be known before its owner starts: taken and left again.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr());
        let address = address.expect("a port is free");
        let receiver =
            if version.0 < 3 { "--enable-feature=otlp-write-receiver" } else { "--web.enable-otlp-receiver" };
        let child = Command::new(&program)
            .arg(receiver)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = child.map_err(|error| format!("failed to run {program}: {error}"))?;
        let mut started = Self { child, address, promotes, _folder: folder };
        // Debian's builds leave the receiver out: 3.x does not know the flag then, 2.x not the path.
        let without = || format!("{program} was built without the receiver of OTLP");
        let begin = Instant::now();
        while !started.ask("GET", "/-/ready").await.is_ok_and(|answer| answer.starts_with("HTTP/1.0 200")) {
            if started.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err(without());
            }
            assert!(begin.elapsed() < PATIENCE, "Prometheus is not ready");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let answer = started.ask("POST", OTLP).await.expect("an answer");
        if answer.starts_with("HTTP/1.0 404") { Err(without()) } else { Ok(started) }
    }

    async fn ask(&self, method: &str, path: &str) -> std::io::Result<String> {
        let mut connection = TcpStream::connect(self.address).await?;
        let request = format!("{method} {path} HTTP/1.0\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// The series of an expression, now, without what Prometheus itself says of where they are from.
    async fn query(&self, expression: &str) -> BTreeMap<Labels, f64> {
        let escaped: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = self.ask("GET", &format!("/api/v1/query?query={escaped}")).await.expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let body: Value = serde_json::from_str(body).expect("JSON");
        let series = body["data"]["result"].as_array().unwrap_or_else(|| panic!("{expression}: {body}"));
        let one = |series: &Value| {
            let mut labels: Labels = serde_json::from_value(series["metric"].clone()).expect("labels");
            labels.remove("job");
            labels.remove("instance");
            let value = series["value"][1].as_str().and_then(|value| value.parse().ok());
            (labels, value.expect("a number"))
        };
        series.iter().map(one).collect()
    }

    /// Sends an export and waits until it has been taken.
    async fn take(&self, sink: &mut OtlpSink, snapshot: Arc<Snapshot>) {
        let mut values = Values::default();
        let url = format!("http://{}{OTLP}", self.address);
        values.metrics_endpoint = Some(Said::new(url, "the test"));
        let settings = values.resolve().expect("a URL").expect("an endpoint");
        let client = Client::start(settings).expect("no TLS");
        let mut points = 0;
        for batch in sink.export(snapshot) {
            client.has_room(batch.body.len()).await;
            points += batch.points as u64;
            client.submit(Payload { body: batch.body, points: batch.points });
        }
        let stats = Arc::clone(client.stats());
        client.shutdown(PATIENCE).await;
        let stats = stats.snapshot();
        assert_eq!((stats.exported, points > 0), (points, true), "{stats:?}");
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may be gone.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The series of the page.
fn page(snapshot: &Arc<Snapshot>) -> BTreeMap<Labels, f64> {
    let sink = PrometheusSink::new(sink_prometheus::Options::default());
    let page = sink.page(snapshot, &PageRequest::default()).expect("a page");
    let text = String::from_utf8(page.chunks.flatten().collect()).expect("UTF-8");
    let line = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let mut all = Labels::from([("__name__".to_owned(), name.to_owned())]);
        // The simulator's values hold nothing that is escaped.
        let pairs = labels.trim_end_matches('}').split("\",").filter_map(|pair| pair.split_once("=\""));
        all.extend(pairs.map(|(label, value)| (label.to_owned(), value.trim_end_matches('"').to_owned())));
        (all, value.parse().expect("a number"))
    };
    text.lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

/// Points in time have more digits than a double.
#[track_caller]
fn assert_same(found: f64, expect: f64, what: &dyn std::fmt::Debug) {
    assert!((found - expect).abs() <= expect.abs() * 1e-12, "{what:?}: {found} instead of {expect}");
}

fn options(identity: Identity, names: Names) -> Options {
    let mut options = Options::default();
    options.identity = identity;
    options.names = names;
    options.resource =
        vec![("service.name".to_owned(), "shop".into()), ("service.instance.id".to_owned(), "1".into())];
    options
}

/// With the page's names, and identity by point, which every version understands: the page's series and no others.
#[tokio::test]
async fn under_the_pages_names_it_has_the_page() {
    let prometheus = match Prometheus::start().await {
        Ok(prometheus) => prometheus,
        Err(reason) => return leave_out(&reason),
    };
    let snapshot = snapshot().await;
    let mut sink = OtlpSink::new(options(Identity::DataPoint, Names::Prometheus));
    prometheus.take(&mut sink, Arc::clone(&snapshot)).await;
    let all = "{__name__!=\"\", __name__!=\"target_info\"}";
    let found = prometheus.query(all).await;
    let mut expect = page(&snapshot);
    // Who writes the page counts its labels.
    expect.retain(|labels, _| labels["__name__"] != "container_exporter_labels_dropped");
    assert!(expect.len() > 1_000, "{} series", expect.len());
    for (labels, value) in &expect {
        let mut labels = labels.clone();
        if labels["__name__"] == "container_memory_failcnt" {
            // A counter, by Prometheus' rule for OTLP.
            labels.insert("__name__".to_owned(), "container_memory_failcnt_total".to_owned());
        }
        let there = found.get(&labels).unwrap_or_else(|| panic!("{labels:?} is missing"));
        assert_same(*there, *value, &labels);
    }
    assert_eq!(found.len(), expect.len());

    // What is gone is gone at once, not after the five minutes for which Prometheus looks back.
    prometheus.take(&mut sink, Arc::new(Snapshot::empty(SystemTime::now()))).await;
    let left = prometheus.query("{__name__=~\"container_.+\", container_id!=\"\"}").await;
    assert!(left.is_empty(), "{left:?}");
}

/// With the names of the conventions, which Prometheus translates, by Resource where it makes labels of those.
#[tokio::test]
async fn under_the_conventions_names_it_has_the_same_numbers() {
    let prometheus = match Prometheus::start().await {
        Ok(prometheus) => prometheus,
        Err(reason) => return leave_out(&reason),
    };
    let snapshot = snapshot().await;
    let identity = if prometheus.promotes { Identity::Resource } else { Identity::DataPoint };
    let mut sink = OtlpSink::new(options(identity, Names::Semconv));
    prometheus.take(&mut sink, Arc::clone(&snapshot)).await;
    let running: Vec<_> =
        snapshot.containers.iter().filter(|one| one.container.state.has_processes()).collect();
    assert!(running.len() > 10, "{} run", running.len());
    for one in running {
        let of = format!("container_id=\"{}\"", one.container.id);
        for (series, expect) in numbers(one) {
            let expression = series.replace("ID", &of);
            let found = prometheus.query(&expression).await;
            assert_eq!(found.len(), 1, "{expression}: {found:?}");
            assert_same(found.into_values().next().unwrap_or_default(), expect, &expression);
        }
    }
    let states = prometheus.query("sum(container_state_status) by (container_state_status)").await;
    assert_eq!(states.values().sum::<f64>(), snapshot.containers.len() as f64, "{states:?}");
}

/// A container uses 10, 20 and 30 s of CPU, restarts, and uses 5 and 15 s: 35 s more than at first, in one series.
#[tokio::test]
async fn a_restart_counts_nothing_twice() {
    let prometheus = match Prometheus::start().await {
        Ok(prometheus) => prometheus,
        Err(reason) => return leave_out(&reason),
    };
    let mut sink = OtlpSink::new(options(Identity::DataPoint, Names::Semconv));
    let begin = SystemTime::now() - Duration::from_secs(60);
    for (step, (seconds, run)) in (0..).zip([(10, 0), (20, 0), (30, 0), (5, 40), (15, 40)]) {
        let mut container = Container::new(ContainerId::new("web"), Engine::Docker, State::Running);
        container.started_at = Some(begin - Duration::from_secs(10) + Duration::from_secs(run));
        let mut sample = Sample::absent(Absence::NotCollected);
        sample.set(ids::CPU_USAGE, Reading::Value(Number::Nanos(seconds * 1_000_000_000)));
        let mut snapshot = Snapshot::empty(begin + Duration::from_secs(15 * step));
        let (container, sample) = (Arc::new(container), Arc::new(sample));
        snapshot.containers = vec![ContainerSample { container, sample, first_seen: begin }];
        prometheus.take(&mut sink, Arc::new(snapshot)).await;
    }
    let series = "container_cpu_time_seconds_total{container_id=\"web\"}";
    let one = |found: BTreeMap<Labels, f64>| {
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_values().next().unwrap_or_default()
    };
    assert_same(one(prometheus.query(series).await), 15.0, &series);
    assert_same(one(prometheus.query(&format!("resets({series}[5m])")).await), 1.0, &"resets");
    // It extrapolates by at most half a step on both sides, a quarter of the minute; what counts twice would add 30.
    let increase = one(prometheus.query(&format!("increase({series}[5m])")).await);
    assert!((35.0..45.0).contains(&increase), "{increase}");
}

/// Some of a container's numbers, by what they are called there.
fn numbers(one: &ContainerSample) -> Vec<(String, f64)> {
    let mut numbers = Vec::new();
    for (row, series, factor) in [
        (ids::CPU_USER, "container_cpu_time_seconds_total{cpu_mode=\"user\",ID}", 1.0),
        (ids::CPU_SYSTEM, "container_cpu_time_seconds_total{cpu_mode=\"system\",ID}", 1.0),
        (ids::CPU_THROTTLED, "container_cpu_throttling_time_seconds_total{ID}", 1.0),
        (ids::MEMORY_USAGE, "container_memory_usage_bytes{ID}", 1.0),
        (ids::MEMORY_WORKING_SET, "container_memory_working_set_bytes{ID}", 1.0),
        (ids::MEMORY_AVAILABLE, "container_memory_available_bytes{ID}", 1.0),
        (ids::MEMORY_USAGE_PERCENT, "container_memory_utilization_ratio{ID}", 0.01),
        (
            ids::MEMORY_PGMAJFAULT_HIERARCHY,
            "container_paging_faults_total{system_paging_fault_type=\"major\",ID}",
            1.0,
        ),
        (ids::THREADS, "container_threads{ID}", 1.0),
    ] {
        if let Some(value) = one.sample.get(row).value() {
            numbers.push((series.to_owned(), value.as_f64() * factor));
        }
    }
    let (interface, columns) = (Dimension::Interface, collector_core::catalogue::get());
    for entry in &one.sample.table(interface).entries {
        let column = columns.column(ids::NETWORK_RECEIVE_BYTES).map(|(_, column)| column);
        if let Some(value) = column.and_then(|column| entry.cells[column].value()) {
            let labels =
                format!("network_io_direction=\"receive\",network_interface_name=\"{}\"", entry.labels[0]);
            numbers.push((format!("container_network_io_bytes_total{{{labels},ID}}"), value.as_f64()));
        }
    }
    numbers
}
