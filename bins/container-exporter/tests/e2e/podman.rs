//! Podman beside Docker: the system's, and the engines of users.

mod beside;
mod life;
mod users;

use crate::harness::{Exporter, Page};

const USED: &str = "container_cpu_usage_seconds_total";
const INFO: &str = "container_info";
const RESTARTS: &str = "container_restarts_total";
const EXIT_CODE: &str = "container_exit_code";

/// A count of one source of containers.
#[track_caller]
fn count(page: &Page, what: &str, source: &str) -> f64 {
    page.expect(&format!("container_exporter_source_{what}_total"), &[("source", source)])
}

/// Panics unless the container of this short id has one info and one series of numbers; its info's labels.
#[track_caller]
fn once(exporter: &Exporter, id: &str) -> std::collections::BTreeMap<String, String> {
    let page = exporter.scrape();
    let used = page.all(USED, &[("container_id", id)]);
    assert_eq!(used.len(), 1, "{id} has its numbers once: {used:#?}");
    let infos = page.all(INFO, &[("container_id", id)]);
    assert_eq!(infos.len(), 1, "{id} is there once: {infos:#?}");
    infos[0].labels.clone()
}
