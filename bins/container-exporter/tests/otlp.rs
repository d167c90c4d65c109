//! The built program sends its metrics: by both protocols, through reloads, outages and its end.

#[path = "support/program.rs"]
mod program;
#[path = "support/receiver.rs"]
mod receiver;

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, metric::Data};
use opentelemetry_proto::tonic::resource::v1::Resource;
use rustix::process::Signal;

use program::Exporter;
use test_support::PATIENCE;

type Receiver = receiver::Receiver<ExportMetricsServiceRequest>;
type Seen = receiver::Seen<ExportMetricsServiceRequest>;

impl Receiver {
    fn start() -> Self {
        // The exporter's own traces come to the same endpoint.
        Self::of(|path| !path.contains("trace"))
    }

    /// Waits for what is found among that which came so far.
    #[track_caller]
    fn wait<T>(&self, what: &str, find: impl FnMut(&[Seen]) -> Option<T>) -> T {
        self.find(find).unwrap_or_else(|_| panic!("{what} did not come"))
    }

    fn count(&self) -> usize {
        self.seen().len()
    }
}

/// An exporter of simulated containers.
#[track_caller]
fn start(config: &str) -> Exporter {
    Exporter::start("sim:20", &[], config)
}

impl Exporter {
    /// The value of a series of the page.
    fn value(&self, series: &str) -> Option<f64> {
        let page = self.page("");
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(line.trim().parse().expect("a number"))
    }

    /// Scrapes until the value is as wanted: each scrape takes as long as a collection does.
    #[track_caller]
    fn await_value(&self, series: &str, is_right: impl Fn(f64) -> bool) -> f64 {
        let started = std::time::Instant::now();
        loop {
            let found = self.value(series);
            if let Some(value) = found.filter(|value| is_right(*value)) {
                return value;
            }
            assert!(started.elapsed() < PATIENCE, "{series} is {found:?}: {:#?}", self.log());
        }
    }

    /// Scrapes until the series is gone.
    #[track_caller]
    fn await_gone(&self, series: &str) {
        let started = std::time::Instant::now();
        while self.value(series).is_some() {
            assert!(started.elapsed() < PATIENCE, "{series} stays: {:#?}", self.log());
        }
    }
}

fn attribute(resource: Option<&Resource>, key: &str) -> Option<String> {
    let found = resource?.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        other => Some(format!("{other:?}")),
    }
}

/// The values of an attribute of the Resources that came.
fn attributes(seen: &[Seen], key: &str) -> BTreeSet<String> {
    let resources = seen.iter().flat_map(|seen| &seen.request.resource_metrics);
    resources.filter_map(|metrics| attribute(metrics.resource.as_ref(), key)).collect()
}

#[test]
fn every_container_arrives_by_both_protocols() {
    for (protocol, compression) in [("grpc", "gzip"), ("http/protobuf", "none")] {
        let receiver = Receiver::start();
        let exporter = start(&format!(
            "[telemetry]\nservice_name = \"shop\"\n[otlp]\nendpoint = \"http://{}\"\nprotocol = \"{protocol}\"\n\
             compression = \"{compression}\"\ninterval = 1\nheaders = {{ x-scope = \"s3cret\" }}\n\
             resource_attributes = {{ \"host.name\" = \"here\", team = \"core\" }}\n",
            receiver.address
        ));
        let names = receiver.wait("twenty containers", |seen| {
            (attributes(seen, "container.id").len() == 20).then(|| attributes(seen, "service.name"))
        });
        assert_eq!(names, BTreeSet::from(["shop".to_owned()]));
        let seen = receiver.wait("another export", |seen| (seen.len() > 1).then(|| seen.to_vec()));
        assert_eq!(seen[0].headers["x-scope"], "s3cret");
        let resources = seen[0].request.resource_metrics.iter().map(|metrics| metrics.resource.as_ref());
        for resource in resources {
            assert_eq!(attribute(resource, "host.name").as_deref(), Some("here"));
            let is_container = attribute(resource, "container.id").is_some();
            assert_eq!(attribute(resource, "team").is_some(), !is_container);
            // A number, as the conventions have it.
            let pid = (!is_container).then(|| format!("IntValue({})", exporter.child.id()));
            assert_eq!(attribute(resource, "process.pid"), pid);
            assert!(attribute(resource, "host.arch").is_some());
        }
        let exported =
            exporter.await_value("container_exporter_otlp_points_exported_total", |points| points > 0.0);
        assert!(exported >= 20.0, "{exported}");
        for reason in
            ["queue_full", "too_large", "timeout", "not_retryable", "rejected", "bad_answer", "shutdown"]
        {
            let series = format!("container_exporter_otlp_points_failed_total{{reason=\"{reason}\"}}");
            assert_eq!(exporter.value(&series), Some(0.0), "{reason}");
        }
        let log = exporter.log();
        let about = |words: &str| log.iter().filter(|line| line.contains(words)).count();
        assert_eq!(
            (about("takes metrics"), about("failed to deliver"), about("s3cret")),
            (1, 0, 0),
            "{log:#?}"
        );
    }
}

/// By the names of the conventions, under the same Resource as what the exporter says of itself.
#[test]
fn the_process_and_its_runtime_leave_with_each_export() {
    let receiver = Receiver::start();
    let exporter = start(&format!(
        "[telemetry]\nservice_name = \"shop\"\n[otlp]\nendpoint = \"http://{}\"\ninterval = 1\n\
         [traces]\nratio = 1\n",
        receiver.address
    ));
    let has = |metrics: &ResourceMetrics, name: &str| {
        metrics.scope_metrics.iter().flat_map(|scope| &scope.metrics).any(|metric| metric.name == name)
    };
    let find = |name: &str| {
        receiver.wait(name, |seen| {
            let mut all = seen.iter().flat_map(|seen| &seen.request.resource_metrics);
            all.find(|metrics| has(metrics, name)).cloned()
        })
    };
    let of = |metrics: &ResourceMetrics| {
        let resource = metrics.resource.as_ref();
        ["service.name", "service.instance.id", "host.name", "process.pid"]
            .map(|key| attribute(resource, key))
    };
    let process = find("process.cpu.time");
    assert_eq!(of(&process)[0].as_deref(), Some("shop"));
    assert_eq!(of(&process)[3], Some(format!("IntValue({})", exporter.child.id())));
    for name in ["process.memory.usage", "tokio.runtime.workers", "otel.sdk.span.started"] {
        assert_eq!(of(&find(name)), of(&process), "{name}");
    }
    // Recorded by a batch that was exported.
    find("otel.sdk.exporter.operation.duration");
    assert_eq!(of(&find("process.uptime")), of(&process));
}

#[test]
fn the_end_of_the_process_sends_the_last_numbers() {
    let receiver = Receiver::start();
    let endpoint = receiver.address;
    let mut exporter = start(&format!("[otlp]\nendpoint = \"http://{endpoint}\"\ninterval = 3600\n"));
    receiver.wait("the first export", |seen| (!seen.is_empty()).then_some(()));
    exporter.await_value("container_exporter_otlp_queue_bytes", |bytes| bytes == 0.0);
    let before = receiver.count();
    exporter.signal(Signal::TERM);
    assert!(exporter.child.wait().expect("its end").success());
    assert!(receiver.count() > before);
}

#[test]
fn a_reload_changes_endpoint_and_headers_and_switches_it_on_and_off() {
    let (first, second) = (Receiver::start(), Receiver::start());
    let exporter = start("[general]\ninterval = 1\n");
    assert_eq!(exporter.value("container_exporter_otlp_points_exported_total"), None);
    let reload = |config: &str| {
        std::fs::write(&exporter.config, format!("[general]\ninterval = 1\n{config}")).expect("written");
        exporter.signal(Signal::HUP);
    };
    reload(&format!("[otlp]\nendpoint = \"http://{}\"\nheaders = {{ key = \"s3cret1\" }}\n", first.address));
    first.wait("an export", |seen| seen.iter().find(|seen| seen.headers["key"] == "s3cret1").map(|_| ()));
    let endpoint = format!("[otlp]\nendpoint = \"http://{}\"\n", second.address);
    reload(&format!("{endpoint}protocol = \"grpc\"\nheaders = {{ key = \"s3cret2\" }}\n"));
    second.wait("an export", |seen| seen.iter().find(|seen| seen.headers["key"] == "s3cret2").map(|_| ()));
    // One that cannot be used changes nothing.
    let count = second.count();
    reload("[otlp]\nendpoint = \"https://127.0.0.1:1\"\ncertificate = \"/nowhere/ca.pem\"\n");
    second.wait("another export", |seen| (seen.len() > count + 1).then_some(()));
    reload("");
    exporter.await_gone("container_exporter_otlp_points_exported_total");
    exporter.line("/nowhere/ca.pem");
    exporter.line("no metrics are sent any more");
    let log = exporter.log().join("\n");
    assert!(!log.contains("s3cret"), "{log}");
}

/// What was sent until then would go on for ever at the receiver.
#[test]
fn series_end_where_a_reload_calls_them_otherwise_or_switches_them_off() {
    let receiver = Receiver::start();
    let exporter = start("[general]\ninterval = 1\n");
    let reload = |rest: &str| {
        std::fs::write(&exporter.config, format!("[general]\ninterval = 1\n{rest}")).expect("written");
        exporter.signal(Signal::HUP);
    };
    // How many points of a metric the requests hold, and how many of them are ends.
    let count = |seen: &[Seen], name: &str| {
        let scopes = seen.iter().flat_map(|seen| &seen.request.resource_metrics);
        let metrics = scopes.flat_map(|metrics| &metrics.scope_metrics).flat_map(|scope| &scope.metrics);
        let gauges = metrics.filter(|metric| metric.name == name).filter_map(|metric| match &metric.data {
            Some(Data::Gauge(gauge)) => Some(&gauge.data_points),
            _ => None,
        });
        let flags: Vec<u32> = gauges.flatten().map(|point| point.flags).collect();
        (flags.len(), flags.iter().filter(|flags| **flags == 1).count())
    };
    let wait = |what: &str, is_right: &dyn Fn(&[Seen]) -> bool| {
        receiver.wait(what, |seen| is_right(seen).then_some(()));
    };
    let endpoint = format!("[otlp]\nendpoint = \"http://{}\"\n", receiver.address);
    reload(&endpoint);
    wait("a point", &|seen| count(seen, "container.uptime").0 > 0);
    reload(&format!("{endpoint}names = \"prometheus\"\n"));
    wait("its end", &|seen| count(seen, "container.uptime").1 > 0);
    wait("a point of the other name", &|seen| count(seen, "container_start_time_seconds").0 > 0);
    reload("");
    wait("its end", &|seen| count(seen, "container_start_time_seconds").1 > 0);
}

#[test]
fn without_a_receiver_pages_are_served_and_one_line_says_so() {
    // Bound, so that nobody else takes it, and not listening.
    let port = tokio::net::TcpSocket::new_v4().expect("a socket");
    port.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let endpoint = port.local_addr().expect("bound");
    let exporter = start(&format!(
        "[otlp]\nendpoint = \"http://me:s3cret@{endpoint}?token=s3cret\"\ninterval = 1\ntimeout = 1\n"
    ));
    let lost = "container_exporter_otlp_points_failed_total{reason=\"timeout\"}";
    let first = exporter.await_value(lost, |points| points > 0.0);
    exporter.await_value(lost, |points| points > 2.0 * first);
    let log = exporter.log();
    let said: Vec<_> = log.iter().filter(|line| line.contains("failed to deliver metrics")).collect();
    assert_eq!(said.len(), 1, "{log:#?}");
    assert!(said[0].contains(&format!("http://{endpoint}/v1/metrics: nobody listens there")), "{said:?}");
    assert!(!log.iter().any(|line| line.contains("s3cret")));
}
