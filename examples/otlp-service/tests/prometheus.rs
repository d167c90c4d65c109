//! A real Prometheus answers the queries of the Grafana integration guide from the service's page.

mod client;
mod stand_in;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use client::{ANY, ORDER, options, orders};
use otlp_service::Service;
use stand_in::{Mood, StandIn};
use test_support::PATIENCE;
use test_support::peers::Prometheus;
use tonic::Code;

/// A Prometheus that scrapes the service every second; `None` where there is none.
async fn start(target: SocketAddr) -> Option<Prometheus> {
    let program = Path::new("prometheus");
    Command::new(program).arg("--version").output().ok()?;
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n\
         - {{job_name: otlp-service, static_configs: [{{targets: ['{target}']}}]}}\n"
    );
    Some(Prometheus::start(program, &config, &[]).await)
}

/// Waits until an expression has that value.
async fn until(prometheus: &Prometheus, expression: &str, expect: f64) {
    let begin = Instant::now();
    loop {
        let found = prometheus.query(expression).await;
        if found.first().is_some_and(|(_, value)| *value == expect) {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{expression} is {found:?}, not {expect}");
        tokio::time::sleep(Duration::from_millis(100)).await;
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
    let Some(prometheus) = start(service.metrics_addr()).await else {
        return skip("there is no prometheus on PATH");
    };
    // What is counted from here on is an increase.
    until(&prometheus, "sum(otlp_spans_created_total)", 0.0).await;
    orders(&service, 10).await;
    service.flush().await.expect("taken");
    collector.set(Mood::Refuses(Code::Unavailable));
    orders(&service, 2).await;
    service.flush().await.expect_err("refused");
    orders(&service, 1).await;
    until(&prometheus, "otlp_exporter_queue_size", ORDER as f64).await;
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
