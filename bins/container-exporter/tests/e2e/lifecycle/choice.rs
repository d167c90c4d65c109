//! Which containers are watched, and what their labels may do to a page.

use std::collections::BTreeSet;

use super::USED;
use crate::harness::{Exporter, Scope, is_tried_here};

/// The containers on a page, by the last part of their names.
fn shown(exporter: &Exporter, scope: &Scope) -> BTreeSet<String> {
    let page = exporter.scrape();
    let prefix = scope.name("");
    let names = page.lines.iter().map(|line| line.label("container_name"));
    names.filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect()
}

#[test]
fn containers_are_chosen_by_name_image_and_label() {
    if !is_tried_here("containers that are chosen") {
        return;
    }
    let Some(scope) = Scope::new("choice") else { return };
    let ours = scope.name("key");
    let label = |value: &str| format!("{ours}={value}");
    let (core, data) = (label("core"), label("data"));
    let _web = scope.sleeper("web", &["--label", &core]);
    let _db = scope.sleeper("db", &["--label", &data]);
    let _plain = scope.sleeper("plain", &[]);
    let _shy = scope.sleeper("shy", &["--label", &core, "--label", "container-exporter.ignore=true"]);
    let any = scope.name("*");
    let rule = |rule: &str| format!("[\"{rule}\"]");
    for (include, exclude, expected) in [
        (rule(&format!("name={any}")), "[]".to_owned(), vec!["db", "plain", "web"]),
        (rule(&format!("label={ours}")), "[]".to_owned(), vec!["db", "web"]),
        (rule(&format!("label={core}")), "[]".to_owned(), vec!["web"]),
        (rule(&format!("name={any}")), rule(&format!("label={ours}=c*")), vec!["db", "plain"]),
        (rule(&format!("name={any}")), rule(&format!("name={}", scope.name("[dp]*"))), vec!["web"]),
        (rule("image=busybox:*"), rule(&format!("name={}", scope.name("plain"))), vec!["db", "web"]),
        (rule("image=nginx:*"), "[]".to_owned(), vec![]),
        (rule(&format!("name={any}")), rule("image=busybox:*"), vec![]),
    ] {
        let rules = format!("include = {include}\nexclude = {exclude}");
        let exporter = scope.exporter_of_all().config("containers", &rules).start();
        let shown = shown(&exporter, &scope);
        assert_eq!(shown, expected.into_iter().map(str::to_owned).collect(), "{rules}");
        let dropped =
            exporter.scrape().expect("container_exporter_containers_dropped", &[("reason", "excluded")]);
        assert!(dropped >= 1.0, "the shy one at least is counted: {dropped}");
    }
}

#[test]
fn labels_of_strangers_do_not_break_a_page() {
    let Some(scope) = Scope::new("labels") else { return };
    let awkward = "a \"quoted\" \\ back\nslash ü {x=\"y\"} # EOF";
    let long = "x".repeat(5000);
    let mut labels = vec![
        format!("awkward={awkward}"),
        "a.b=dot".to_owned(),
        "a-b=dash".to_owned(),
        "id=mine".to_owned(),
        "container_name=mine".to_owned(),
        "1digit=yes".to_owned(),
        format!("long={long}"),
    ];
    labels.extend((0..1000).map(|number| format!("many{number:04}=v")));
    let mut options: Vec<&str> = Vec::new();
    for label in &labels {
        options.extend(["--label", label]);
    }
    let odd = scope.sleeper("odd", &options);
    let good = scope.sleeper("good", &["--label", "plain=yes"]);
    let taken = "on_series = [\"awkward\", \"a.b\", \"a-b\", \"id\", \"container_name\", \"long\"]";
    let exporter = scope.exporter().config("labels", taken).start();

    let page = exporter.await_container(&odd.name);
    assert!(page.of(USED, &good.name).is_some());
    let lines = page.all(USED, &[("container_id", odd.short_id())]);
    let line = lines.first().expect("its line");
    assert_eq!(line.label("container_name"), odd.name, "a label cannot pass for the name");
    let values: Vec<&str> = line.labels.values().map(String::as_str).collect();
    assert!(values.contains(&awkward), "unharmed: {values:?}");
    assert!(values.contains(&"dash") && !values.contains(&"dot"), "one of two, the first: {values:?}");
    assert!(values.contains(&&long[..256]), "a long value is cut");
    assert!(page.expect("container_exporter_labels_dropped", &[]) >= 3.0);

    let page = exporter.scrape_at("/metrics?profile=cadvisor");
    let lines = page.all(USED, &[("name", &odd.name)]);
    let line = lines.first().expect("its line");
    let taken: Vec<_> = line.labels.iter().filter(|(name, _)| name.starts_with("container_label_")).collect();
    assert_eq!(taken.len(), 128, "bounded: {taken:?}");
    assert_eq!(line.label("container_label_awkward"), awkward);
    assert_eq!(line.label("container_label_a_b"), "dash");
    assert_eq!(line.label("container_label_id"), "mine");
    assert!(!line.labels.contains_key("container_label_long"), "a cut value would break joins");
    assert_eq!(page.all(USED, &[("name", &good.name)])[0].label("container_label_plain"), "yes");
    assert_eq!(page.expect("container_exporter_labels_dropped", &[]), (labels.len() - 128) as f64);
}

/// Of three containers two have room in the group memory, in each scrape the same two; the third has all the rest, and its
/// memory once one of them is gone.
#[test]
fn what_a_group_has_beyond_its_budget_is_left_out_whole_and_counted() {
    if !is_tried_here("a budget of series") {
        return;
    }
    const MEMORY: &str = "container_memory_usage_bytes";
    const RSS: &str = "container_memory_rss";
    let Some(scope) = Scope::new("budget") else { return };
    let containers = ["one", "two", "three"].map(|name| scope.sleeper(name, &[]));
    let budget = "CONTAINER_EXPORTER__METRICS__SERIES_PER_GROUP";
    let rows = {
        // As many as a container may have: what the kernel here does not tell counts, too.
        let exporter = scope.exporter().env(budget, "1").start();
        exporter.await_page("all are left out", |page| {
            let dropped = page.expect("container_exporter_series_dropped", &[("group", "memory")]);
            (page.absent("memory", "over_budget") == 3.0).then_some(dropped / 3.0)
        })
    };
    let exporter = scope.exporter().env(budget, &format!("{}", (rows * 2.5) as u64)).start();
    for container in &containers {
        exporter.await_page("all are there", |page| page.of("container_threads", &container.name));
    }
    let shown = |exporter: &Exporter| {
        let page = exporter.scrape();
        let of = |name: &str| {
            containers
                .iter()
                .filter(|one| page.of(name, &one.name).is_some())
                .map(|one| one.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(of(MEMORY), of(RSS), "whole");
        assert_eq!(of("container_threads").len(), 3, "other groups are within");
        assert_eq!(page.absent("memory", "over_budget"), 1.0);
        assert_eq!(page.expect("container_exporter_series_dropped", &[("group", "memory")]), rows);
        assert_eq!(page.expect("container_exporter_series_dropped", &[("group", "pids")]), 0.0);
        of(MEMORY)
    };
    let first = shown(&exporter);
    assert_eq!(first.len(), 2, "{first:?}");
    for _ in 0..3 {
        assert_eq!(shown(&exporter), first, "the same in each scrape");
    }
    let log = exporter.log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("more series than a group may have") && line.contains("memory\""))
        .collect();
    assert_eq!(lines.len(), 1, "{log}");

    let [one, two, three] = containers;
    let (gone, left): (Vec<_>, Vec<_>) = [one, two, three].into_iter().partition(|one| one.name == first[0]);
    drop(gone);
    for container in &left {
        exporter.await_page("there is room for both", |page| page.of(MEMORY, &container.name));
    }
    assert_eq!(exporter.scrape().absent("memory", "over_budget"), 0.0);
}
