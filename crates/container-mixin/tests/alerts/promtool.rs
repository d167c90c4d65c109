//! promtool accepts every file and every test passes, whatever is set; and the tests would notice.

use std::path::Path;

use container_mixin::alerts;
use mixin::Scope;

use crate::{Made, made, run, said};

const RULES: &str = "deploy/prometheus/rules/";
const TESTS: &str = "deploy/prometheus/tests/";

/// The files below a directory, as arguments.
fn written(made: &Made, directory: &Path, below: &str) -> Vec<String> {
    let of = made.files.iter().filter(|file| file.path.starts_with(below));
    of.map(|file| {
        let path = directory.join(&file.path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
        std::fs::write(&path, &file.text).expect("it can be written");
        path.display().to_string()
    })
    .collect()
}

/// Other releases of promtool, where there are some: paths with `:` between them.
const OTHERS: &str = "CONTAINER_EXPORTER_PROMTOOLS";

/// What a promtool says of all files; whether it is content.
fn judged_by(promtool: &str, made: &Made) -> Option<(bool, String)> {
    let directory = tempfile::tempdir().expect("a directory");
    let rules = written(made, directory.path(), RULES);
    let tests = written(made, directory.path(), TESTS);
    assert!(!rules.is_empty() && rules.len() == tests.len(), "every file of rules has its tests");
    let mut ok = true;
    let mut all = String::new();
    for (command, files) in [("check", &rules), ("test", &tests)] {
        let arguments: Vec<&str> =
            [command, "rules"].into_iter().chain(files.iter().map(String::as_str)).collect();
        let output = run("prometheus", promtool, &arguments)?;
        ok &= output.status.success();
        all.push_str(&said(&output));
    }
    Some((ok, all))
}

fn judged(made: &Made) -> Option<(bool, String)> {
    judged_by("promtool", made)
}

#[track_caller]
fn accepts(profile: &str, set: &[&str]) {
    let made = made(profile, set);
    let others = std::env::var(OTHERS).unwrap_or_default();
    for promtool in ["promtool"].into_iter().chain(others.split(':').filter(|path| !path.is_empty())) {
        let Some((ok, said)) = judged_by(promtool, &made) else { return };
        assert!(ok, "{promtool} of {profile} with {set:?}: {said}");
    }
}

#[test]
fn promtool_accepts_what_is_checked_in() {
    accepts("native", &[]);
}

#[test]
fn promtool_accepts_what_cadvisors_names_can_answer() {
    accepts("cadvisor", &[]);
}

#[test]
fn tests_follow_the_settings() {
    let set = [
        "alert.CpuThrottled.for=2s",
        "alert.ExporterDown.severity=warning",
        "alert.HighExportLatency.threshold=0.25",
        "alert.LowSpanCreationRate.threshold=5000",
        "alert.MemoryFillingUp.floor=0.7",
        "alert.MemoryNearLimit.for=1h30m",
        "alert.MemoryNearLimit.severity=critical",
        "alert.MemoryNearLimit.threshold=0.8",
        "alert.NetworkDrops.floor=100",
        "alert.OomKilled.threshold=7",
        "alert.RestartLoop.threshold=20",
        "alert.ScrapeSlow.threshold=0.3",
        "alert.ServiceDown.job=checkout",
        "alert.SpanErrors.enabled=false",
        "job=containers",
        "url.grafana=https://grafana.example.org/",
        "url.runbooks=https://wiki.example.org/runbooks/",
    ];
    accepts("native", &set);
    let made = made("native", &set);
    let all: String = made.files.iter().map(|file| file.text.as_str()).collect();
    for expect in [
        "> 0.8\n        for: 1h30m\n        labels:\n          severity: \"critical\"",
        "up{job=\"containers\"} == 0",
        "up{job=\"checkout\"} == 0",
        "\"https://grafana.example.org/d/containers-",
        "\"https://wiki.example.org/runbooks/MemoryNearLimit.md\"",
    ] {
        assert!(all.contains(expect), "{expect}");
    }
    assert!(!all.contains("alert: SpanErrors"), "it was left out");
}

/// What promtool says when each of the rules is changed; the names of the alerts whose tests then fail.
fn failing_when(change: impl Fn(&str) -> String) -> Option<Vec<&'static str>> {
    let mut made = made("native", &[]);
    for file in made.files.iter_mut().filter(|file| file.path.starts_with(RULES)) {
        file.text = change(&file.text);
    }
    let (_, said) = judged(&made)?;
    let names = alerts::all().into_iter().flat_map(|group| group.alerts).map(|alert| alert.name);
    Some(
        names
            .filter(|name| {
                said.contains(&format!("alertname: {name},")) || said.contains(&format!("name: {name}:"))
            })
            .collect(),
    )
}

#[test]
fn tests_notice_an_alert_that_fires_too_early() {
    let change = |text: &str| {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("for: "));
        lines.map(|line| format!("{line}\n")).collect()
    };
    let Some(failing) = failing_when(change) else { return };
    let waiting =
        alerts::all().into_iter().flat_map(|group| group.alerts).filter(|alert| !alert.wait.is_zero());
    // Those that need a window to fill are quiet by themselves until then, if the window is longer than their time.
    let expected: Vec<&str> = waiting.map(|alert| alert.name).collect();
    let missed: Vec<&&str> = expected.iter().filter(|name| !failing.contains(name)).collect();
    assert!(missed.is_empty(), "without `for` the tests of {missed:?} pass all the same");
}

#[test]
fn tests_notice_a_wrong_label_or_sentence() {
    let all = || alerts::all().into_iter().flat_map(|group| group.alerts).map(|alert| alert.name);
    for (from, to) in
        [("severity: \"", "severity: \"un"), ("description: \"", "description: \"Alas: "), ("/d/", "/e/")]
    {
        let Some(failing) = failing_when(|text| text.replace(from, to)) else { return };
        let missed: Vec<&str> = all().filter(|name| !failing.contains(name)).collect();
        assert!(missed.is_empty(), "with {to:?} for {from:?} the tests of {missed:?} pass all the same");
    }
}

#[test]
fn tests_notice_a_division_that_is_not_guarded() {
    let Some(failing) = failing_when(|text| text.replace(" > 0)", ")").replace(" > 10)", ")")) else {
        return;
    };
    let rendered = |alert: &mixin::Alert| alert.expr(&Scope::default()).expect("it can be written").text;
    let guarded = alerts::all().into_iter().flat_map(|group| group.alerts).filter(|alert| {
        let text = rendered(alert);
        text.contains("> 0)") || text.contains("> 10)")
    });
    // 0 of 0 is nothing in either case.
    let missed: Vec<&str> = guarded
        .map(|alert| alert.name)
        .filter(|name| !failing.contains(name) && !["OtlpErrors", "SpanErrors"].contains(name))
        .collect();
    assert!(missed.is_empty(), "without a guard the tests of {missed:?} pass all the same");
}

#[test]
fn queries_of_runbooks_are_promql() {
    for profile in ["native", "cadvisor"] {
        let profile = container_mixin::profile::named(profile).expect("a profile");
        let scope = Scope::default().under(profile);
        let mut rules = "groups:\n- name: queries\n  rules:\n".to_owned();
        for alert in alerts::all().into_iter().flat_map(|group| group.alerts) {
            for (index, query) in alert.queries(&scope).expect("all can be written").into_iter().enumerate() {
                rules.push_str(&format!("  - record: {}:{index}\n    expr: '{query}'\n", alert.name));
            }
        }
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("queries.yml");
        std::fs::write(&file, rules).expect("it can be written");
        let Some(output) = run("prometheus", "promtool", &["check", "rules", &file.display().to_string()])
        else {
            return;
        };
        assert!(output.status.success(), "{}", said(&output));
    }
}
