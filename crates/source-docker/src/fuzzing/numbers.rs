//! `GET /containers/{id}/stats`, and what is made of it.

use collector_core::{
    Absence, Container, ContainerId, Engine, Groups, Reading, Sample, State,
    catalogue::{Dimension, ids},
};
use serde_json::Value;

use super::whole;
use crate::remote::body::{self, Answer, Stats};
use crate::remote::fill;

/// Rows of one answer, at most.
const ROWS_MAX: usize = 256;

/// The fields are those that `Value` finds; a sandbox never shows a zero of its host's.
pub fn stats(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(answer) = body::read(text) else { return };
    if let Answer::Stats(stats) = &answer {
        bounded(stats);
        filled(stats);
    }
    let Some(value) = whole(text) else { return };
    assert_eq!(body::read(&value.to_string()).as_ref(), Some(&answer), "{text}");
    if let Answer::Stats(stats) = answer {
        same(&stats, &value);
    }
}

fn bounded(stats: &Stats) {
    let interfaces = stats.interfaces.as_deref().unwrap_or_default();
    assert!(interfaces.len() <= ROWS_MAX && interfaces.iter().all(|one| one.name != "lo"));
    assert!(interfaces.windows(2).all(|pair| pair[0].name < pair[1].name), "not each once: {interfaces:?}");
    let devices = stats.devices.as_deref().unwrap_or_default();
    assert!(devices.len() <= ROWS_MAX);
    let sorted = |pair: &[body::Device]| (pair[0].major, pair[0].minor) < (pair[1].major, pair[1].minor);
    assert!(devices.windows(2).all(sorted), "a device twice: {devices:?}");
}

fn same(stats: &Stats, value: &Value) {
    let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64);
    let is_windows =
        ["privateworkingset", "commitbytes"].iter().any(|key| !value["memory_stats"][key].is_null());
    if !is_windows && let Some(nanos) = number("/cpu_stats/cpu_usage/total_usage") {
        assert_eq!(stats.cpu_total, Some(nanos));
    }
    if let Some(bytes) = number("/memory_stats/usage") {
        assert_eq!(stats.memory_usage, Some(bytes));
    }
    for (word, count) in &stats.memory_stat {
        let Some(expected) = value["memory_stats"]["stats"][word].as_u64() else { continue };
        assert_eq!(*count, expected, "{word}");
    }
    for interface in stats.interfaces.iter().flatten() {
        let counts = &value["networks"][&interface.name];
        if let Some(bytes) = counts["rx_bytes"].as_u64() {
            assert_eq!(interface.rx_bytes, Some(bytes), "{}", interface.name);
        }
    }
}

fn filled(stats: &Stats) {
    let container = Container::new(ContainerId::new("asked"), Engine::Docker, State::Running);
    let sample = |is_sandboxed| {
        let mut sample = Sample::of_container(Absence::NotCollected, Groups::standard());
        fill::fill(stats, &container, is_sandboxed, Groups::all(), &mut sample);
        sample
    };
    let plain = sample(false);
    assert_eq!(
        plain.get(ids::MEMORY_USAGE).as_u64().is_some_and(|bytes| bytes > 0),
        stats.memory_usage > Some(0)
    );
    let sandbox = sample(true);
    for row in [ids::CPU_USAGE, ids::MEMORY_USAGE, ids::THREADS] {
        assert!(!matches!(sandbox.get(row).as_u64(), Some(0)), "{row:?} of a sandbox is 0");
    }
    for dimension in [Dimension::Device, Dimension::Interface] {
        let table = sandbox.table(dimension);
        assert_eq!(table.absence.is_some(), table.entries.is_empty(), "{dimension:?}");
        let is_zero = |cell: &Reading| cell.as_u64().unwrap_or(0) == 0;
        let all_zero = table.entries.iter().all(|entry| entry.cells.iter().all(is_zero));
        assert!(table.entries.is_empty() || !all_zero, "{dimension:?}");
    }
}
