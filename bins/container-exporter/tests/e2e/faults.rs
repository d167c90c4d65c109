//! What breaks on real hosts: each fault shows in a metric and in the log, and nothing else stops for it.
//!
//! `docs/reliability.md` lists every fault with its test.

mod clock;
mod crowd;
mod engine;
mod flat;
mod held;
mod http;
mod link;
mod made;
mod mounts;
mod proxy;
#[cfg(feature = "soak")]
mod receiver;
mod sandbox;
#[cfg(feature = "soak")]
mod soak;

use crate::harness::{Exporter, Page};
use held::Held;

const USED: &str = "container_cpu_usage_seconds_total";
const EXITS: &str = "host_containers_exits_total";

/// All ends counted, whatever their outcome.
fn exits(page: &Page) -> f64 {
    page.all(EXITS, &[]).iter().map(|line| line.value).sum()
}

/// A counter of the source `docker`.
#[track_caller]
fn source(page: &Page, name: &str) -> f64 {
    page.expect(&format!("container_exporter_source_{name}"), &[("source", "docker")])
}

/// How many lines of the log tell of an engine that is lost.
fn losses(exporter: &Exporter) -> usize {
    exporter.log().lines().filter(|line| line.contains("out of reach")).count()
}
