//! The rules of Grafana's dashboard-linter (its folder `docs/rules`), over every dashboard, each named as there.

use serde_json::Value;

use crate::{every_dashboard, panels, queries};

/// Rules that a dashboard breaks on purpose: `.lint` files are what the linter itself has for that.
const EXCEPTIONS: &[(&str, &[&str], &str)] = &[(
    "otlp-service-overview.json",
    &[
        "template-job-rule",
        "template-instance-rule",
        "target-job-rule",
        "target-instance-rule",
        "target-rate-interval-rule",
    ],
    "its eight queries are those that users know, without variables and over 5 minutes",
)];

/// Gauges whose names cAdvisor has ended like a counter's.
const NO_COUNTERS: &[&str] = &[
    "container_fs_inodes_total",
    "container_network_tcp_usage_total",
    "container_network_tcp6_usage_total",
    "container_network_udp_usage_total",
    "container_network_udp6_usage_total",
];

/// Units of Grafana's that are in use here.
const UNITS: &[&str] = &[
    "none",
    "short",
    "percent",
    "percentunit",
    "bytes",
    "Bps",
    "s",
    "dtdurations",
    "dateTimeAsIso",
    "pps",
    "iops",
    "ops",
    "reqps",
];

/// A selector in a query, with what stands around it.
#[derive(Debug, PartialEq, Eq)]
struct Selector<'a> {
    name: &'a str,
    matchers: &'a str,
    window: Option<&'a str>,
    function: Option<&'a str>,
}

/// The selectors of a query. Enough of PromQL for what is generated here: no strings outside of matchers, no comments.
fn selectors(query: &str) -> Vec<Selector<'_>> {
    const WORDS: &[&str] = &["by", "on", "group_left", "and", "or", "unless", "bool"];
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut functions: Vec<Option<&str>> = Vec::new();
    let mut last: Option<&str> = None;
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let of_labels = matches!(functions.last(), Some(Some("by" | "on" | "group_left")));
            let trimmed = after.trim_start();
            rest = after;
            if trimmed.starts_with('(') || WORDS.contains(&word) {
                last = Some(word);
            } else if !of_labels && !first.is_ascii_digit() && word != "Inf" {
                let (matchers, after) = after
                    .strip_prefix('{')
                    .map_or(("", after), |inside| inside.split_once('}').expect("braces are closed"));
                let (window, after) = match after.strip_prefix('[') {
                    Some(inside) => {
                        inside.split_once(']').map(|(window, after)| (Some(window), after)).expect("closed")
                    }
                    None => (None, after),
                };
                found.push(Selector {
                    name: word,
                    matchers,
                    window,
                    function: functions.last().copied().flatten(),
                });
                rest = after;
            }
            continue;
        }
        match first {
            '(' => functions.push(last.take()),
            ')' => drop(functions.pop()),
            ' ' => {}
            _ => last = None,
        }
        rest = &rest[first.len_utf8()..];
    }
    found
}

/// Every breach, as the rule and what is wrong.
fn breaches(dashboard: &Value) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    templates(dashboard, &mut found);
    if dashboard["editable"] != false {
        found.push(("uneditable-dashboard", "it can be edited".to_owned()));
    }
    for panel in panels(dashboard) {
        check_panel(panel, &mut found);
        for query in queries(panel) {
            check_query(query, &mut found);
        }
    }
    found
}

fn templates(dashboard: &Value, found: &mut Vec<(&'static str, String)>) {
    let list = dashboard["templating"]["list"].as_array().expect("variables");
    let datasource = list.iter().find(|variable| variable["type"] == "datasource");
    let fits = |it: &Value| {
        it["name"] == "datasource" && it["label"] == "Data source" && it["query"] == "prometheus"
    };
    if !datasource.is_some_and(fits) {
        found.push(("template-datasource-rule", "no variable `datasource` of Prometheus".to_owned()));
    }
    for (rule, name, label) in
        [("template-job-rule", "job", "Job"), ("template-instance-rule", "instance", "Instance")]
    {
        let Some(variable) = list.iter().find(|variable| variable["name"] == name) else {
            found.push((rule, format!("no variable {name}")));
            continue;
        };
        let good = variable["type"] == "query"
            && variable["label"] == label
            && variable["multi"] == true
            && variable["allValue"] == ".+"
            && variable["datasource"]["uid"] == "${datasource}";
        if !good {
            found.push((rule, variable.to_string()));
        }
    }
    for variable in list.iter().filter(|variable| variable["type"] == "query") {
        let query = variable["query"].as_str().expect("a query");
        let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        if inside.is_none_or(|inside| selectors(inside).is_empty()) {
            found.push(("template-label-promql-rule", query.to_owned()));
        }
        if variable["refresh"] != 2 {
            found.push(("template-on-time-change-reload-rule", query.to_owned()));
        }
    }
}

fn check_panel(panel: &Value, found: &mut Vec<(&'static str, String)>) {
    let what = panel["title"].to_string();
    let has = |key: &str| panel[key].as_str().is_some_and(|text| !text.is_empty());
    if !has("title") || !has("description") {
        found.push(("panel-title-description-rule", what.clone()));
    }
    if panel["type"] == "text" {
        return;
    }
    if panel["datasource"]["uid"] != "${datasource}" {
        found.push(("panel-datasource-rule", what.clone()));
    }
    if queries(panel).next().is_none() {
        found.push(("panel-no-targets-rule", what.clone()));
    }
    let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default();
    if !UNITS.contains(&unit) {
        found.push(("panel-units-rule", format!("{what}: {unit:?}")));
    }
}

fn check_query(query: &str, found: &mut Vec<(&'static str, String)>) {
    let selectors = selectors(query);
    if selectors.is_empty() {
        found.push(("target-promql-rule", query.to_owned()));
    }
    for selector in selectors {
        let matchers: Vec<&str> = selector.matchers.split(", ").collect();
        if !matchers.contains(&r#"job=~"$job""#) {
            found.push(("target-job-rule", query.to_owned()));
        }
        if !matchers.contains(&r#"instance=~"$instance""#) {
            found.push(("target-instance-rule", query.to_owned()));
        }
        let rates = matches!(selector.function, Some("rate" | "irate"));
        if rates && selector.window != Some("$__rate_interval") {
            found.push(("target-rate-interval-rule", query.to_owned()));
        }
        let counts = rates || selector.function == Some("increase");
        let is_counter = selector.name.ends_with("_total") && !NO_COUNTERS.contains(&selector.name);
        if is_counter && !(counts && selector.window.is_some()) {
            found.push(("target-counter-agg-rule", query.to_owned()));
        }
    }
}

#[test]
fn the_linter_has_nothing_to_say() {
    for (name, _, dashboard) in every_dashboard() {
        let allowed: Vec<&str> = EXCEPTIONS
            .iter()
            .filter(|(file, _, _)| name.ends_with(file))
            .flat_map(|(_, rules, _)| rules.iter().copied())
            .collect();
        let found = breaches(&dashboard);
        let forbidden: Vec<_> = found.iter().filter(|(rule, _)| !allowed.contains(rule)).collect();
        assert!(forbidden.is_empty(), "{name}: {forbidden:#?}");
        let needless: Vec<_> =
            allowed.iter().filter(|rule| found.iter().all(|(broken, _)| broken != *rule)).collect();
        assert!(needless.is_empty(), "{name}: {needless:?} need no exception");
    }
}

#[test]
fn selectors_are_found_with_what_stands_around_them() {
    let query =
        r#"sum(rate(a_total{x="1"}[5m])) by (le) / on (job) group_left (b) (c > 0) and time() - d{e=~"$f"}"#;
    let seen: Vec<_> =
        selectors(query).iter().map(|it| (it.name, it.matchers, it.window, it.function)).collect();
    assert_eq!(
        seen,
        [
            ("a_total", r#"x="1""#, Some("5m"), Some("rate")),
            ("c", "", None, None),
            ("d", r#"e=~"$f""#, None, None),
        ]
    );
}

#[test]
fn breaches_are_found() {
    let mut seen = Vec::new();
    check_query("rate(a_total[5m]) > b_total", &mut seen);
    let rules: Vec<_> = seen.iter().map(|(rule, _)| *rule).collect();
    assert!(
        rules.contains(&"target-rate-interval-rule") && rules.contains(&"target-counter-agg-rule"),
        "{rules:?}"
    );
    assert!(rules.contains(&"target-job-rule") && rules.contains(&"target-instance-rule"), "{rules:?}");
}
