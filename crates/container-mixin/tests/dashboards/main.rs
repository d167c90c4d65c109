//! What must hold of every dashboard: Grafana's schemas, the linter's rules, the grid, PromQL, and that no metric is forgotten.

mod coverage;
mod drill;
mod grid;
mod lint;
mod promql;
mod schema;

use container_mixin::dashboards::{self, ALL, Entry};
use container_mixin::profile::CADVISOR;
use mixin::Profile;
use mixin::dashboard::Built;
use serde_json::Value;

/// Every dashboard under every profile that can answer something of it, with a name for messages.
fn every_dashboard() -> Vec<(String, Built, Value)> {
    let mut all = Vec::new();
    for profile in [Profile::NATIVE, CADVISOR] {
        for entry in ALL {
            let built = build(entry, profile);
            if built.panels > 0 {
                let json = serde_json::from_str(&built.json).expect("JSON");
                all.push((format!("{} {}", profile.name, entry.file), built, json));
            }
        }
    }
    assert!(all.len() > ALL.len(), "cAdvisor's names answer some");
    all
}

fn build(entry: &Entry, profile: Profile) -> Built {
    dashboards::build(entry, profile).unwrap_or_else(|error| panic!("{}: {error}", entry.file))
}

/// The panels of a dashboard, those behind headings included.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let mut all = Vec::new();
    for element in dashboard["panels"].as_array().expect("panels") {
        if element["type"] == "row" {
            all.extend(element["panels"].as_array().expect("a row's panels"));
        } else {
            all.push(element);
        }
    }
    all
}

/// The queries of a panel.
fn queries(panel: &Value) -> impl Iterator<Item = &str> {
    panel["targets"].as_array().into_iter().flatten().map(|target| target["expr"].as_str().expect("a query"))
}
