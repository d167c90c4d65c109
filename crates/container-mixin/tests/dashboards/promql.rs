//! Prometheus' own parser reads every query, and reads it as it is meant.

use std::process::Command;

use container_mixin::dashboards::ALL;
use mixin::Profile;
use serde_json::json;

use crate::{build, every_dashboard, queries};

/// As Prometheus would get it.
fn expanded(query: &str) -> String {
    query.replace("$__rate_interval", "1m").replace("$__range", "1h")
}

#[test]
#[expect(clippy::print_stderr, reason = "a skip says so")]
fn promtool_reads_every_query() {
    let mut rules = Vec::new();
    for (name, built, _) in every_dashboard() {
        for query in &built.queries {
            assert!(!expanded(&query.text).contains("$_"), "{name}: {}", query.text);
            rules.push(json!({"record": format!("query:{}", rules.len()), "expr": expanded(&query.text)}));
        }
    }
    assert!(rules.len() > 300, "{}", rules.len());
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("queries.yml");
    // JSON is YAML.
    let text = json!({"groups": [{"name": "queries", "rules": rules}]}).to_string();
    std::fs::write(&file, text).expect("it can be written");
    match Command::new("promtool").args(["check", "rules"]).arg(&file).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(
                output.status.success() && said.contains(&format!("{} rules found", rules.len())),
                "{said}"
            );
        }
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("skipped: promtool cannot be run ({error}); `apt-get install prometheus` brings it");
        }
        Err(error) => panic!("promtool: {error}"),
    }
}

/// What users of the `otlp_*` metrics know by heart.
#[test]
fn the_overview_of_otlp_asks_exactly_what_it_always_asked() {
    let entry = ALL.iter().find(|entry| entry.file == "otlp-service-overview.json").expect("it");
    let built = build(entry, Profile::NATIVE);
    let dashboard: serde_json::Value = serde_json::from_str(&built.json).expect("JSON");
    let first: Vec<_> = dashboard["panels"].as_array().expect("panels").iter().take(8).collect();
    let seen: Vec<(String, Vec<String>, String)> = first
        .iter()
        .map(|panel| {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let asked = queries(panel).map(str::to_owned).collect();
            (text(&panel["title"]), asked, text(&panel["fieldConfig"]["defaults"]["unit"]))
        })
        .collect();
    let latency = |quantile: &str| {
        format!("histogram_quantile({quantile}, sum(rate(otlp_exporter_latency_seconds_bucket[5m])) by (le))")
    };
    let expected: [(&str, Vec<String>, &str); 8] = [
        ("Span Creation Rate", vec!["rate(otlp_spans_created_total[5m])".into()], "ops"),
        (
            "Span Export Success Rate",
            vec![
                "sum(rate(otlp_spans_exported_total{status=\"success\"}[5m])) / sum(rate(otlp_spans_exported_total[5m]))"
                    .into(),
            ],
            "percentunit",
        ),
        ("Export Latency", vec![latency("0.5"), latency("0.95"), latency("0.99")], "s"),
        ("Queue Size", vec!["otlp_exporter_queue_size".into()], "short"),
        ("CPU Usage", vec!["otlp_system_cpu_usage_percent".into()], "percent"),
        ("Memory Usage", vec!["otlp_system_memory_usage_bytes".into()], "bytes"),
        ("Error Rate by Type", vec!["sum(rate(otlp_spans_export_errors_total[5m])) by (error_type)".into()], "ops"),
        (
            "Batch Size Distribution",
            vec!["sum(rate(otlp_exporter_batch_size_bucket[5m])) by (le)".into()],
            "short",
        ),
    ];
    let expected: Vec<_> =
        expected.map(|(title, asked, unit)| (title.to_owned(), asked, unit.to_owned())).into();
    assert_eq!(seen, expected);
    assert!(first.iter().all(|panel| panel["gridPos"]["w"] == 12 && panel["gridPos"]["h"] == 8));
    assert_eq!(first[1]["fieldConfig"]["defaults"]["max"], 1.0);
    assert_eq!(first[4]["fieldConfig"]["defaults"]["max"], 100.0);
    assert_eq!((&first[6]["type"], &first[7]["type"]), (&json!("piechart"), &json!("heatmap")));
    assert_eq!(dashboard["tags"], json!(["otlp", "observability", "rust"]));
    assert_eq!(dashboard["refresh"], "30s");
}
