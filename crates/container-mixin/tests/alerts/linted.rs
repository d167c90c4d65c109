//! What linters of mixins and of rules ask for, and what was agreed on the eight alerts of a service.

use std::collections::BTreeSet;

use container_mixin::alerts::{self, AlertGroup};
use container_mixin::rules;
use mixin::{Alert, Scope, Sentence, Severity, duration};

use crate::{file, made};

/// Those whose conditions are not ours.
const GIVEN: &str = "otlp_service_alerts";

fn all() -> Vec<(AlertGroup, Alert)> {
    let groups = alerts::all().into_iter();
    groups
        .flat_map(|group| group.alerts.clone().into_iter().map(move |alert| (group.clone(), alert)))
        .collect()
}

fn text(alert: &Alert) -> String {
    alert.expr(&Scope::default()).expect("it can be written").text
}

fn is_camel_case(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

#[test]
fn names_are_in_camel_case_and_unique() {
    let mut seen = BTreeSet::new();
    for (_, alert) in all() {
        assert!(is_camel_case(alert.name) && seen.insert(alert.name), "{}", alert.name);
    }
    let mut recorded = BTreeSet::new();
    for recording in rules::recordings() {
        let name = recording.name();
        assert_eq!(
            name.split(':').filter(|part| !part.is_empty()).count(),
            3,
            "{name} is level:metric:operation"
        );
        assert!(!name.contains("_total"), "{name}: a rate is no total");
        assert!(recorded.insert(name));
    }
}

#[test]
fn every_alert_says_in_words_what_is_the_case() {
    for (_, alert) in all() {
        let name = alert.name;
        let summary = alert.summary;
        let plain = !Sentence::parse(summary).expect("it reads").tells_which();
        assert!(plain && summary.ends_with('.') && summary.matches('.').count() == 1, "{name}: {summary}");
        assert!(summary.starts_with(|c: char| c.is_uppercase()) && summary.len() <= 80, "{name}: {summary}");
        let description = Sentence::parse(alert.description).expect("it reads");
        assert!(description.tells_which(), "{name}: a description names whom or how much");
        assert!(alert.description.ends_with('.'), "{name}: {}", alert.description);
        let summaries = all().into_iter().filter(|(_, other)| other.summary == summary).count();
        assert_eq!(summaries, 1, "{name}: {summary}");
    }
}

#[test]
fn every_condition_compares_and_ranks_nothing() {
    for (group, alert) in all() {
        let text = text(&alert);
        let compares = [" > ", " < ", " == ", " >= ", " <= ", " != "].iter().any(|op| text.contains(op));
        assert!(compares || text.starts_with("absent("), "{}: {text}", alert.name);
        for ranking in ["topk", "bottomk", "sort", "$__"] {
            assert!(!text.contains(ranking), "{}: {text}", alert.name);
        }
        // A ratio of rates jumps where there is little of either.
        if text.contains(" / ") {
            assert!(!alert.wait.is_zero(), "{}: a ratio waits", alert.name);
            let guarded = text.split(" / ").skip(1).all(|divisor| divisor.contains("> "));
            assert!(guarded || group.name == GIVEN, "{}: {text}", alert.name);
        }
    }
}

#[test]
fn every_runbook_has_its_four_parts_and_commands() {
    let made = made("native", &[]);
    let names: BTreeSet<&str> = all().iter().map(|(_, alert)| alert.name).collect();
    for name in &names {
        let page = file(&made, &format!("docs/runbooks/{name}.md"));
        for part in ["## Meaning\n\n", "## Impact\n\n", "## Diagnosis\n\n", "## Mitigation\n\n- "] {
            assert!(page.contains(part), "{name}: {part}");
        }
        assert!(page.contains("```promql\n") && page.contains("```sh\n"), "{name} has commands and queries");
        // Links to other runbooks lead somewhere.
        for link in page.split("](").skip(1).filter_map(|rest| rest.split_once(".md)")).map(|(to, _)| to) {
            assert!(names.contains(link), "{name} refers to {link}");
        }
    }
    let pages = made.files.iter().filter(|file| file.path.starts_with("docs/runbooks/")).count();
    assert_eq!(pages, names.len());
}

#[test]
fn links_lead_to_dashboards_and_variables_that_there_are() {
    let made = made("native", &[]);
    let dashboards: Vec<&str> = made
        .files
        .iter()
        .filter(|file| file.path.starts_with("dashboards/"))
        .map(|file| file.text.as_str())
        .collect();
    for (_, alert) in all() {
        let uid = format!("\"uid\": \"{}\"", alert.link.dashboard);
        let dashboard = dashboards.iter().find(|text| text.contains(&uid));
        let dashboard = dashboard.unwrap_or_else(|| panic!("{}: no dashboard has {uid}", alert.name));
        for (variable, _) in alert.link.variables {
            assert!(dashboard.contains(&format!("\"name\": \"{variable}\"")), "{}: {variable}", alert.name);
        }
    }
}

/// Name, severity, time, component and condition, as users of S1's guide have them.
#[test]
fn the_eight_alerts_of_a_service_are_as_they_were() {
    let given: Vec<String> = all()
        .iter()
        .filter(|(group, _)| group.name == GIVEN)
        .map(|(group, alert)| {
            assert_eq!(group.interval, Some("30s"));
            let (severity, wait) = (alert.severity.as_str(), duration(alert.wait));
            format!("{} {severity} {wait} {:?} {}", alert.name, alert.labels, text(alert))
        })
        .collect();
    let expected = [
        r#"HighExportErrorRate warning 5m [("component", "exporter")] sum(rate(otlp_spans_export_errors_total[5m])) / sum(rate(otlp_spans_exported_total[5m])) > 0.05"#,
        r#"HighExportLatency warning 5m [("component", "exporter")] histogram_quantile(0.95, sum(rate(otlp_exporter_latency_seconds_bucket[5m])) by (le)) > 1"#,
        r#"ExporterQueueBacklog warning 10m [("component", "exporter")] otlp_exporter_queue_size > 10000"#,
        r#"HighMemoryUsage warning 5m [("component", "system")] otlp_system_memory_usage_bytes / 1024 / 1024 / 1024 > 3.5"#,
        r#"HighCPUUsage warning 10m [("component", "system")] otlp_system_cpu_usage_percent > 80"#,
        r#"ServiceDown critical 1m [("component", "service")] up{job="otlp-service"} == 0"#,
        r#"LowSpanCreationRate info 10m [("component", "tracer")] sum(rate(otlp_spans_created_total[5m])) < 100"#,
        r#"CriticalExportFailureRate critical 5m [("component", "exporter")] sum(rate(otlp_spans_exported_total{status="success"}[5m])) / sum(rate(otlp_spans_exported_total[5m])) < 0.9"#,
    ];
    assert_eq!(given, expected);
}

/// Name, severity and time of ours, as they were agreed on.
#[test]
fn the_others_are_as_urgent_as_was_agreed() {
    let ours: Vec<String> = all()
        .iter()
        .filter(|(group, _)| group.name != GIVEN)
        .map(|(_, alert)| format!("{} {} {}", alert.name, alert.severity.as_str(), duration(alert.wait)))
        .collect();
    let expected = "CpuThrottled warning 15m, CpuPressure warning 15m, MemoryNearLimit warning 10m, \
                    MemoryFillingUp warning 30m, MemoryStalled critical 5m, OomKilled warning 0s, IoStalled warning 15m, \
                    PidsNearLimit warning 5m, NetworkDrops warning 15m, FilesystemNearlyFull warning 30m, \
                    RestartLoop warning 0s, ContainerUnhealthy warning 5m, ContainerDown critical 5m, \
                    HostMemoryStalled critical 5m, OomKilledShortLived warning 0s, ExporterDown critical 5m, \
                    ExporterAbsent critical 10m, ScrapeSlow warning 15m, SourceFailing warning 15m, \
                    EngineDisconnected critical 5m, SeriesLeftOut warning 15m, QueueNearlyFull warning 5m, DroppingData critical 5m, \
                    OtlpErrors warning 15m, ExportSlow warning 15m, SpanErrors warning 10m";
    assert_eq!(ours.join(", "), expected);
}

/// Each alone changes the rule of its alert, and no other.
#[test]
fn every_threshold_time_and_severity_can_be_set() {
    let rules = |set: &[&str]| -> Vec<String> {
        let files = made("native", set).files;
        let of_rules = files.iter().filter(|file| file.path.starts_with("deploy/prometheus/rules/"));
        of_rules.flat_map(|file| file.text.split("- alert: ").skip(1).map(str::to_owned)).collect()
    };
    let as_they_are = rules(&[]);
    for (_, alert) in all() {
        let severity = if alert.severity == Severity::Info { "warning" } else { "info" };
        let mut sets = vec!["for=7m".to_owned(), format!("severity={severity}")];
        sets.extend(alert.settings.iter().map(|one| format!("{}={}", one.name, one.value + 0.125)));
        for set in sets {
            let set = format!("alert.{}.{set}", alert.name);
            let changed = rules(&[&set]);
            assert_eq!(changed.len(), as_they_are.len(), "{set}");
            let differing = changed.iter().zip(&as_they_are).filter(|(now, before)| now != before);
            let names: Vec<_> = differing.filter_map(|(now, _)| now.lines().next()).collect();
            assert_eq!(names, [alert.name], "{set}");
        }
    }
}

#[test]
fn what_is_misspelt_in_a_setting_is_told_with_what_was_meant() {
    let error = |set: &str| {
        let settings = container_mixin::Settings::default().with_set(set).expect("it is written as one");
        container_mixin::files(&settings).expect_err("it is none").to_string()
    };
    for (set, told) in [
        ("alert.MemoryNearLimit.treshold=0.8", "did you mean alert.MemoryNearLimit.threshold?"),
        ("alert.MemoryNearLimits.threshold=0.8", "did you mean alert.MemoryNearLimit.threshold?"),
        ("alert.MemoryNearLimit.threshold=much", "wants a number"),
        ("alert.MemoryNearLimit.for=soon", "wants a duration"),
        ("alert.MemoryNearLimit.severity=fatal", "wants critical, warning or info"),
        ("alert.MemoryNearLimit.enabled=maybe", "wants true or false"),
    ] {
        assert!(error(set).contains(told), "{set}: {}", error(set));
    }
}

#[test]
fn what_a_profile_cannot_answer_is_left_out_with_the_reason() {
    let made = made("cadvisor", &[]);
    let left_out = |name: &str| made.left_out.iter().find(|left| left.what == format!("the alert {name}"));
    let reason = |name: &str| left_out(name).map(|left| left.reason.as_str());
    assert_eq!(
        reason("ContainerDown"),
        Some("cannot be answered because cadvisor has no name for container_state")
    );
    for name in ["CpuThrottled", "MemoryNearLimit", "OomKilled", "RestartLoop", "ExporterDown", "ServiceDown"]
    {
        assert_eq!(reason(name), None, "{name}");
    }
    let text = file(&made, "deploy/prometheus/rules/container_alerts.yml");
    assert!(!text.contains("ContainerDown") && !text.contains("container_name"), "{text}");
}

#[test]
fn severities_are_the_three_that_are_routed() {
    let used: BTreeSet<Severity> = all().iter().map(|(_, alert)| alert.severity).collect();
    assert_eq!(used.into_iter().collect::<Vec<_>>(), Severity::ALL);
}
