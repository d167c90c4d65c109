//! No metric is forgotten: each is on a panel or in an alert, or a reason for neither is written down.

use std::collections::BTreeSet;

use collector_core::catalogue;
use container_mixin::dashboards::ALL;
use container_mixin::{Settings, alerts};
use mixin::Profile;

use crate::build;

/// Metrics that no panel and no alert asks for, and why.
const FOR_A_REASON: &[(&str, &str)] = &[];

/// Everything that a page can show under the default profile.
fn every_metric() -> BTreeSet<String> {
    let of_containers = catalogue::get().iter().filter(|(_, row)| !row.hidden).map(|(_, row)| &row.def);
    let all = of_containers.chain(runtime_metrics::catalogue::all());
    // The others say why in their rows.
    all.filter(|row| row.only_aliased.is_none()).map(|row| row.prometheus_name()).collect()
}

#[test]
fn every_metric_is_asked_for_or_says_why_not() {
    let asked = container_mixin::files(&Settings::default()).expect("no mistakes").metrics;
    let excused: BTreeSet<String> = FOR_A_REASON.iter().map(|(name, _)| (*name).to_owned()).collect();
    let every = every_metric();
    assert!(every.len() > 100, "{}", every.len());
    let forgotten: Vec<_> =
        every.iter().filter(|name| !asked.contains(*name) && !excused.contains(*name)).collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
    let needless: Vec<_> =
        excused.iter().filter(|name| asked.contains(*name) || !every.contains(*name)).collect();
    assert!(needless.is_empty(), "{needless:?} need no reason");
}

#[test]
fn the_native_names_answer_everything() {
    let output = container_mixin::files(&Settings::default()).expect("no mistakes");
    assert_eq!(output.left_out, []);
}

#[test]
fn what_cadvisor_cannot_answer_is_left_out_with_a_reason() {
    let settings = Settings::default().with_profile("cadvisor").expect("known");
    let output = container_mixin::files(&settings).expect("no mistakes");
    assert!(output.left_out.iter().all(|it| it.reason.starts_with("cannot be answered because")));
    let names: Vec<_> = output.files.iter().map(|file| file.path.as_str()).collect();
    assert!(
        names.contains(&"dashboards/fleet.json") && names.contains(&"dashboards/container.json"),
        "{names:?}"
    );
    assert!(!names.contains(&"dashboards/compose.json"), "projects are labels of container_info");
    let container =
        &output.files.iter().find(|file| file.path == "dashboards/container.json").expect("it").text;
    assert!(
        container.contains(r#"name=~\"$name\""#) && !container.contains("container_name=~"),
        "cAdvisor's label"
    );
    assert!(!container.contains("container_memory_limit_bytes"), "cAdvisor has no effective limit");
    assert!(container.contains("container_spec_memory_limit_bytes"), "it has the configured one");
}

#[test]
fn the_files_are_always_the_same() {
    let once = container_mixin::files(&Settings::default());
    assert_eq!(once, container_mixin::files(&Settings::default()));
}

/// Who follows an alert's link has to arrive, with the variables set.
#[test]
fn the_links_of_alerts_lead_to_dashboards() {
    let dashboards: Vec<serde_json::Value> = ALL
        .iter()
        .map(|entry| serde_json::from_str(&build(entry, Profile::NATIVE).json).expect("JSON"))
        .collect();
    let mut links = 0;
    for alert in alerts::all().into_iter().flat_map(|group| group.alerts) {
        let found = dashboards.iter().find(|dashboard| dashboard["uid"] == alert.link.dashboard);
        let dashboard =
            found.unwrap_or_else(|| panic!("{}: no dashboard {}", alert.name, alert.link.dashboard));
        let variables = dashboard["templating"]["list"].as_array().expect("variables");
        for (variable, _) in alert.link.variables {
            assert!(
                variables.iter().any(|it| it["name"] == *variable),
                "{}: no variable {variable}",
                alert.name
            );
        }
        links += 1;
    }
    assert!(links > 20, "{links}");
}
