//! A real Prometheus answers the queries of the Grafana integration guide from the service's page.

mod client;
mod stand_in;

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use client::{ANY, ORDER, ask, get, options, orders};
use otlp_service::Service;
use serde_json::Value;
use stand_in::{Mood, StandIn};
use tempfile::TempDir;
use tonic::Code;

/// A Prometheus that scrapes the service every second.
struct Prometheus {
    child: Child,
    addr: SocketAddr,
    _directory: TempDir,
}

impl Prometheus {
    /// `None` where there is none.
    async fn start(target: SocketAddr) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n\
             - {{job_name: otlp-service, static_configs: [{{targets: ['{target}']}}]}}\n"
        );
        std::fs::write(&config, text).expect("it can be written");
        // A port has to be known before its owner starts: taken and left again.
        let addr = TcpListener::bind(ANY).and_then(|it| it.local_addr()).expect("a port is free");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={addr}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let started = Self { child: child.ok()?, addr, _directory: directory };
        let begin = Instant::now();
        while !ask(addr, "/-/ready").await.is_ok_and(|(status, _)| status == 200) {
            assert!(begin.elapsed() < Duration::from_secs(60), "Prometheus is not ready");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Some(started)
    }

    /// The series of an expression, each with its value.
    async fn query(&self, expression: &str) -> Vec<(Value, f64)> {
        let escaped: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = get(self.addr, &format!("/api/v1/query?query={escaped}")).await;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let series = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{expression}: {answer}"));
        let value = |one: &Value| one["value"][1].as_str().and_then(|text| text.parse().ok());
        series.iter().map(|one| (one["metric"].clone(), value(one).expect("a number"))).collect()
    }

    /// Waits until an expression has that value.
    async fn until(&self, expression: &str, expect: f64) {
        let begin = Instant::now();
        loop {
            let found = self.query(expression).await;
            if found.first().is_some_and(|(_, value)| *value == expect) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{expression} is {found:?}, not {expect}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may be gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is left out where something is missing, which CI does not accept.
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI has everything: {reason}");
    eprintln!("skipped: {reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guides_queries_have_answers() {
    let collector = StandIn::listen(ANY).await;
    let service = Service::start(options(collector.addr, 100)).await.expect("free ports");
    let Some(prometheus) = Prometheus::start(service.metrics_addr()).await else {
        return skip("there is no prometheus on PATH");
    };
    // What is counted from here on is an increase.
    prometheus.until("sum(otlp_spans_created_total)", 0.0).await;
    orders(&service, 10).await;
    service.flush().await.expect("taken");
    collector.set(Mood::Refuses(Code::Unavailable));
    orders(&service, 2).await;
    service.flush().await.expect_err("refused");
    orders(&service, 1).await;
    prometheus.until("otlp_exporter_queue_size", ORDER as f64).await;
    let (good, bad) = ((10 * ORDER) as f64, (2 * ORDER) as f64);

    let created = prometheus.query("rate(otlp_spans_created_total[5m])").await;
    let kinds = created.iter().filter(|(_, rate)| *rate > 0.0).count();
    assert_eq!((created.len(), kinds), (5, 3), "{created:?}");
    let ratio = "sum(rate(otlp_spans_exported_total{status=\"success\"}[5m])) \
                 / sum(rate(otlp_spans_exported_total[5m]))";
    let errors = "sum(rate(otlp_spans_export_errors_total[5m])) / sum(rate(otlp_spans_exported_total[5m]))";
    for (expression, expect) in [(ratio, good / (good + bad)), (errors, bad / (good + bad))] {
        let found = prometheus.query(expression).await;
        assert!(
            found.len() == 1 && (found[0].1 - expect).abs() < 1e-9,
            "{expression}: {found:?}, not {expect}"
        );
    }
    for quantile in ["0.50", "0.95", "0.99"] {
        let latency = format!(
            "histogram_quantile({quantile}, sum(rate(otlp_exporter_latency_seconds_bucket[5m])) by (le))"
        );
        let found = prometheus.query(&latency).await;
        assert!(found.len() == 1 && found[0].1 > 0.0, "{latency}: {found:?}");
    }
    let by_type = prometheus.query("sum(rate(otlp_spans_export_errors_total[5m])) by (error_type) > 0").await;
    assert_eq!(by_type.len(), 1, "{by_type:?}");
    assert_eq!(by_type[0].0["error_type"], "unavailable");
    let batches = prometheus.query("sum(rate(otlp_exporter_batch_size_bucket[5m])) by (le)").await;
    assert_eq!(batches.len(), 7, "{batches:?}");
    for gauge in
        ["otlp_system_cpu_usage_percent", "otlp_system_memory_usage_bytes", "otlp_system_tasks_count"]
    {
        assert_eq!(prometheus.query(gauge).await.len(), 1, "{gauge}");
    }

    // The conditions of its alerts: which of them hold now.
    let holds = [
        (format!("{errors} > 0.05"), true),
        (format!("{ratio} < 0.90"), true),
        ("sum(rate(otlp_spans_created_total[5m])) < 100".to_owned(), true),
        ("otlp_exporter_queue_size > 10000".to_owned(), false),
        ("up{job=\"otlp-service\"} == 0".to_owned(), false),
    ];
    for (condition, expect) in holds {
        assert_eq!(!prometheus.query(&condition).await.is_empty(), expect, "{condition}");
    }
    drop(prometheus);
    collector.set(Mood::Takes);
    service.stop().await.expect("taken");
}
