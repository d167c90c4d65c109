//! Real Prometheus servers take what is sent by OTLP, and then have the numbers of the page of the same snapshot: 2.53, which needs
//! the identity on each point, and 3.5, which makes labels of the Resource's attributes that it is told.
//!
//! `cargo xtask test --only peers` builds them and runs this.

#[path = "support/simulated.rs"]
mod simulated;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use collector_core::catalogue::{Dimension, ids};
use collector_core::{
    Absence, Container, ContainerId, ContainerSample, Engine, Reading, Sample, Snapshot, State,
    Value as Number,
};
use otlp_client::{Client, Payload, Said, Values};
use simulated::snapshot;
use sink_otlp::{Identity, Names, Options, OtlpSink};
use sink_prometheus::{PageRequest, PrometheusSink};
use test_support::PATIENCE;
use test_support::peers::{Labels, Peer, Prometheus};

/// Where it takes OTLP.
const OTLP: &str = "/api/v1/otlp/v1/metrics";

/// Runs it with its receiver on; `None` where nobody has named it.
async fn start(peer: Peer) -> Option<Prometheus> {
    let program = peer.program()?;
    let (config, flag, version) = match peer {
        Peer::Prometheus3 => (
            "otlp: {promote_resource_attributes: [container.id, container.name, container.image.name]}\n",
            "--web.enable-otlp-receiver",
            "3.5.",
        ),
        _ => ("", "--enable-feature=otlp-write-receiver", "2.53."),
    };
    let prometheus = Prometheus::start(&program, config, &[flag]).await;
    let found = prometheus.version().await;
    assert!(found.starts_with(version), "{} is {found}", program.display());
    Some(prometheus)
}

/// Where a container's identity has to stand, so that its series are its own.
fn identity(peer: Peer) -> Identity {
    if peer == Peer::Prometheus3 { Identity::Resource } else { Identity::DataPoint }
}

/// The series of an expression, now, without what Prometheus itself says of where they are from.
async fn query(prometheus: &Prometheus, expression: &str) -> BTreeMap<Labels, f64> {
    let mut found = prometheus.query(expression).await;
    for (labels, _) in &mut found {
        labels.remove("job");
        labels.remove("instance");
    }
    found.into_iter().collect()
}

/// Sends an export and waits until it has been taken.
async fn take(prometheus: &Prometheus, sink: &mut OtlpSink, snapshot: Arc<Snapshot>) {
    let mut values = Values::default();
    let url = format!("http://{}{OTLP}", prometheus.address());
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

/// Every test with either of them.
macro_rules! with {
    ($name:ident, $peer:expr) => {
        mod $name {
            use super::*;

            #[tokio::test]
            async fn under_the_pages_names_it_has_the_page() {
                super::under_the_pages_names_it_has_the_page($peer).await;
            }

            #[tokio::test]
            async fn under_the_conventions_names_it_has_the_same_numbers() {
                super::under_the_conventions_names_it_has_the_same_numbers($peer).await;
            }

            #[tokio::test]
            async fn a_restart_counts_nothing_twice() {
                super::a_restart_counts_nothing_twice($peer).await;
            }
        }
    };
}

with!(prometheus_2_53, Peer::Prometheus2);
with!(prometheus_3_5, Peer::Prometheus3);

/// With the page's names: the page's series and no others.
async fn under_the_pages_names_it_has_the_page(peer: Peer) {
    let Some(prometheus) = start(peer).await else { return };
    let snapshot = snapshot().await;
    let mut sink = OtlpSink::new(options(identity(peer), Names::Prometheus));
    take(&prometheus, &mut sink, Arc::clone(&snapshot)).await;
    let all = "{__name__!=\"\", __name__!=\"target_info\"}";
    let found = query(&prometheus, all).await;
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
        if identity(peer) == Identity::Resource {
            promote(&mut labels, &snapshot);
        }
        let there = found.get(&labels).unwrap_or_else(|| panic!("{labels:?} is missing"));
        assert_same(*there, *value, &labels);
    }
    assert_eq!(found.len(), expect.len());

    // What is gone is gone at once, not after the five minutes for which Prometheus looks back.
    take(&prometheus, &mut sink, Arc::new(Snapshot::empty(SystemTime::now()))).await;
    let left = query(&prometheus, "{__name__=~\"container_.+\", container_id!=\"\"}").await;
    assert!(left.is_empty(), "{left:?}");
}

/// The page has the image as it was named, and the id as the engine shows it; a Resource has the image in its parts, of which the name is
/// promoted, and the whole id.
fn promote(labels: &mut Labels, snapshot: &Snapshot) {
    let Some(short) = labels.get("container_id") else { return };
    let mut ids = snapshot.containers.iter().map(|one| &one.container.id);
    let id = ids.find(|id| id.short() == short).unwrap_or_else(|| panic!("no container is {short}"));
    labels.insert("container_id".to_owned(), id.as_str().to_owned());
    let Some(image) = labels.remove("image") else { return };
    let name = match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => &image,
    };
    labels.insert("container_image_name".to_owned(), name.to_owned());
}

/// With the names of the conventions, which Prometheus translates.
async fn under_the_conventions_names_it_has_the_same_numbers(peer: Peer) {
    let Some(prometheus) = start(peer).await else { return };
    let snapshot = snapshot().await;
    let mut sink = OtlpSink::new(options(identity(peer), Names::Semconv));
    take(&prometheus, &mut sink, Arc::clone(&snapshot)).await;
    let running: Vec<_> =
        snapshot.containers.iter().filter(|one| one.container.state.has_processes()).collect();
    assert!(running.len() > 10, "{} run", running.len());
    for one in running {
        let of = format!("container_id=\"{}\"", one.container.id);
        for (series, expect) in numbers(one) {
            let expression = series.replace("ID", &of);
            let found = query(&prometheus, &expression).await;
            assert_eq!(found.len(), 1, "{expression}: {found:?}");
            assert_same(found.into_values().next().unwrap_or_default(), expect, &expression);
        }
    }
    let states = query(&prometheus, "sum(container_state_status) by (container_state_status)").await;
    assert_eq!(states.values().sum::<f64>(), snapshot.containers.len() as f64, "{states:?}");
}

/// A container uses 10, 20 and 30 s of CPU, restarts, and uses 5 and 15 s: 35 s more than at first, in one series.
async fn a_restart_counts_nothing_twice(peer: Peer) {
    let Some(prometheus) = start(peer).await else { return };
    let mut sink = OtlpSink::new(options(identity(peer), Names::Semconv));
    let begin = SystemTime::now() - Duration::from_secs(60);
    for (step, (seconds, run)) in (0..).zip([(10, 0), (20, 0), (30, 0), (5, 40), (15, 40)]) {
        let mut container = Container::new(ContainerId::new("web"), Engine::Docker, State::Running);
        container.started_at = Some(begin - Duration::from_secs(10) + Duration::from_secs(run));
        let mut sample = Sample::absent(Absence::NotCollected);
        sample.set(ids::CPU_USAGE, Reading::Value(Number::Nanos(seconds * 1_000_000_000)));
        let mut snapshot = Snapshot::empty(begin + Duration::from_secs(15 * step));
        snapshot.containers = vec![ContainerSample::new(container, sample, begin)];
        take(&prometheus, &mut sink, Arc::new(snapshot)).await;
    }
    let series = "container_cpu_time_seconds_total{container_id=\"web\"}";
    let one = |found: BTreeMap<Labels, f64>| {
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_values().next().unwrap_or_default()
    };
    assert_same(one(query(&prometheus, series).await), 15.0, &series);
    assert_same(one(query(&prometheus, &format!("resets({series}[5m])")).await), 1.0, &"resets");
    // It extrapolates by at most half a step on both sides, a quarter of the minute; what counts twice would add 30.
    let increase = one(query(&prometheus, &format!("increase({series}[5m])")).await);
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
