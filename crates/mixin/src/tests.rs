//! What expressions are written as, and which are refused.

use metric_schema::{Alias, Attribute, MetricDef, Unit, Values};

use crate::*;

const STATES: &[Attribute] = &[Attribute::new("state", Values::Closed(&["running", "exited"]))];
const STATE: MetricDef =
    MetricDef::gauge("box.state", Unit::One, "state", "1 for the state, else 0.").by(STATES);
const INFO: MetricDef = MetricDef::gauge("box.info", Unit::One, "state", "What describes the box.");
const CPU: MetricDef = MetricDef::counter("box.cpu", Unit::Seconds, "cpu", "CPU time used.")
    .aliased(&[Alias { profile: "old", name: "old_cpu_seconds_total", labels: &[("cpu", "total")] }]);
const MEMORY: MetricDef = MetricDef::gauge("box.memory", Unit::Bytes, "memory", "Memory in use.")
    .aliased(&[Alias { profile: "old", name: "old_memory_bytes", labels: &[] }]);
const LIMIT: MetricDef = MetricDef::gauge("box.memory.limit", Unit::Bytes, "memory", "The limit of memory.");

const WAIT: MetricDef =
    MetricDef::histogram("box.wait", Unit::Seconds, "cpu", "How long the box waited.", &[0.1, 1.0]);

const IDENTITY: &[&str] = &["box"];
const OLD: Profile = Profile::new(
    "old",
    &[("box", Some("name")), ("state", None)],
    &[Matcher { label: "name", op: Match::NotEqual, value: "" }],
);

fn of(def: &'static MetricDef) -> Metric {
    Metric::of(def).identified(IDENTITY)
}

#[track_caller]
fn check(expr: &Expr, scope: &Scope, expect: &str) {
    match expr.render(scope) {
        Ok(rendered) => assert_eq!(rendered.text, expect),
        Err(error) => assert_eq!(error.to_string(), expect),
    }
}

#[test]
fn operators_keep_their_meaning() {
    let memory = || of(&MEMORY).now();
    let limit = || of(&LIMIT).now();
    let plain = Scope::default();
    check(&memory().over(limit()).gt(0.9), &plain, "box_memory_bytes / box_memory_limit_bytes > 0.9");
    check(&memory().minus(limit().minus(1.0)), &plain, "box_memory_bytes - (box_memory_limit_bytes - 1)");
    check(&memory().plus(limit()).times(2.0), &plain, "(box_memory_bytes + box_memory_limit_bytes) * 2");
    check(&memory().per(limit()), &plain, "box_memory_bytes / (box_memory_limit_bytes > 0)");
    check(
        &memory().gt(1.0).and_on(&["box"], limit().gt(0.0)),
        &plain,
        "box_memory_bytes > 1 and on (box) box_memory_limit_bytes > 0",
    );
}

#[test]
fn every_selector_carries_the_matchers_of_the_scope() {
    let ratio = of(&MEMORY).now().per(of(&LIMIT).now()).max_by(&["box"]);
    check(
        &ratio,
        &Scope::dashboard(),
        r#"max(box_memory_bytes{job=~"$job", instance=~"$instance"} / (box_memory_limit_bytes{job=~"$job", instance=~"$instance"} > 0)) by (box)"#,
    );
    let named = Scope::default().matching("box", Match::Regex, "$box");
    check(&of(&MEMORY).now(), &named, r#"box_memory_bytes{box=~"$box"}"#);
    check(&Metric::of(&target::UP).now(), &named, "up");
}

#[test]
fn a_profile_has_its_own_names_and_labels() {
    let old = Scope::default().under(OLD);
    check(
        &of(&CPU).rate(Window::Fixed("5m")).sum_by(&["box"]),
        &old,
        r#"sum(rate(old_cpu_seconds_total{name!="", cpu="total"}[5m])) by (name)"#,
    );
    check(&Metric::of(&target::UP).now().equal(0.0), &old, "up == 0");
    let keeping = Scope::default().under(OLD.keeping(&["memory"]));
    check(&of(&LIMIT).now(), &keeping, r#"box_memory_limit_bytes{name!=""}"#);
    let rendered = of(&MEMORY).now().render(&old).expect("has a name there");
    assert_eq!(rendered.legend("{box} of {{kept}}"), Ok("{{name}} of {{kept}}".to_owned()));
    assert_eq!(rendered.annotation("{box}"), Ok("{{ $labels.name }}".to_owned()));
}

#[test]
fn what_a_profile_lacks_is_told_from_a_mistake() {
    let old = Scope::default().under(OLD);
    let lacking = of(&LIMIT).now().render(&old).expect_err("no name there");
    assert!(lacking.is_unanswerable());
    assert_eq!(lacking.to_string(), "cannot be answered because old has no name for box_memory_limit_bytes");
    let other = of(&MEMORY).now().over(of(&LIMIT).now()).or_else(of(&MEMORY).now());
    check(&other, &old, r#"old_memory_bytes{name!=""}"#);
    assert_eq!(other.render(&old).expect("the other way").metrics.len(), 1);

    let mistake = of(&CPU).rate(Window::Interval).sum_by(&["bax"]);
    for scope in [Scope::default(), old] {
        assert!(!mistake.render(&scope).expect_err("misspelt").is_unanswerable());
    }
}

#[test]
fn mistakes_are_found() {
    let refused = |expr: Expr, words: &str| {
        let error = expr.render(&Scope::default()).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(of(&STATE).select().eq("state", "runing").now(), "its values are running, exited");
    refused(of(&STATE).select().re("state", "running|exitd").now(), "\"exitd\"");
    refused(of(&STATE).select().eq("status", "running").now(), "box, instance, job, state");
    refused(of(&CPU).now(), "a counter tells nothing");
    refused(of(&MEMORY).rate(Window::Interval), "it is no counter");
    refused(of(&CPU).select().max_over_time(Window::Interval), "a counter tells nothing");
    refused(of(&WAIT).now(), "a histogram has buckets");
    refused(of(&MEMORY).series(Series::Count).rate(Window::Interval), "it is no histogram");
    refused(of(&STATE).now().over(of(&MEMORY).now()), "match by all their labels");
    refused(of(&MEMORY).now().sum_by(&["job"]).histogram_quantile(0.9), "\"le\"");
    let sum = of(&MEMORY).now().sum_by(&["job"]).render(&Scope::default()).expect("renders");
    assert!(sum.legend("{box}").is_err());
    assert!(sum.legend("{job").is_err());
}

#[test]
fn labels_of_an_info_metric_are_joined() {
    let info = of(&INFO).with_labels(&["project"]);
    let joined =
        of(&MEMORY).now().with_info(&["instance", "box"], &["project"], info.now()).sum_by(&["project"]);
    check(
        &joined,
        &Scope::default(),
        "sum(box_memory_bytes * on (instance, box) group_left (project) box_info) by (project)",
    );
}

#[test]
fn histograms_are_asked_for_quantiles() {
    check(
        &Metric::of(&WAIT).quantile(0.95, Window::Fixed("5m")),
        &Scope::default(),
        "histogram_quantile(0.95, sum(rate(box_wait_seconds_bucket[5m])) by (le))",
    );
}

#[test]
fn values_are_escaped() {
    check(
        &of(&MEMORY).select().eq("box", "a\"b\\c\n").now(),
        &Scope::default(),
        r#"box_memory_bytes{box="a\"b\\c\n"}"#,
    );
}
