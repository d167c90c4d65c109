//! Runtimes that keep a container in a kernel or machine of its own: gVisor, Kata.

use collector_core::{
    Absence, Reading, Sample,
    catalogue::{Dimension, ids},
};
use serde_json::{Value, json};
use source_docker::{Endpoint, Polled};
use test_support::{Answer, RecordedEngine, engine::fixture};

use crate::rig::{Rig, WEB, absent, full_ids, has_cpu, quick, recorded, tcp};

/// As engines are told of them by people, packages and containerd.
const RUNTIMES: [&str; 9] = [
    "runsc",
    "runsc-kvm",
    "gvisor",
    "io.containerd.runsc.v1",
    "kata",
    "kata-runtime",
    "kata-qemu",
    "io.containerd.kata.v2",
    "io.containerd.kata-qemu.v2",
];

fn full(id: &str) -> String {
    full_ids().into_iter().find(|full| full.starts_with(id)).expect("recorded")
}

/// Has the engine say that a container, recorded under this name, has this runtime.
fn set_runtime(engine: &RecordedEngine, name: &str, id: &str, runtime: &str) {
    let body = fixture(&format!("engine-20.10/inspect-{name}.json"));
    let body = body.replace(r#""Runtime":"runc""#, &format!(r#""Runtime":"{runtime}""#));
    assert!(body.contains(runtime), "{body}");
    engine.answer(&format!("/containers/{}/json", full(id)), Answer::text(body));
}

/// The recorded answer with other values at some places.
fn stats(changes: &[(&str, Value)]) -> String {
    let mut stats: Value = serde_json::from_str(&fixture("engine-20.10/stats.json")).expect("recorded");
    for (pointer, value) in changes {
        *stats.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value.clone();
    }
    stats.to_string()
}

/// What an engine makes of a cgroup in which nothing is counted.
fn zeros() -> String {
    let device = json!({"major": 8, "minor": 0, "op": "Read", "value": 0});
    let interface = json!({"rx_bytes": 0, "rx_packets": 0, "tx_bytes": 0, "tx_packets": 0});
    stats(&[
        ("/cpu_stats/cpu_usage/total_usage", 0.into()),
        ("/memory_stats/usage", 0.into()),
        ("/pids_stats/current", 0.into()),
        ("/blkio_stats/io_service_bytes_recursive", json!([device])),
        ("/networks", json!({"eth0": interface})),
    ])
}

/// Nothing that is counted has a value, and each says the same reason.
#[track_caller]
fn assert_nothing_is_shown(sample: &Sample, reason: Absence) {
    let rows = [
        ids::CPU_USAGE,
        ids::CPU_USER,
        ids::CPU_PERIODS,
        ids::CPU_LIMIT,
        ids::MEMORY_USAGE,
        ids::MEMORY_RSS,
        ids::MEMORY_WORKING_SET,
        ids::THREADS,
        ids::FS_USAGE,
    ];
    for row in rows {
        let reading = sample.get(row);
        assert!(reading.value().is_none(), "{row:?}: {reading:?}");
    }
    assert_eq!(sample.get(ids::CPU_USAGE), Reading::Absent(reason));
    assert_eq!(sample.get(ids::MEMORY_USAGE), Reading::Absent(reason));
    assert_eq!(sample.get(ids::THREADS), Reading::Absent(reason));
    for dimension in [Dimension::Device, Dimension::Interface] {
        let table = sample.table(dimension);
        assert_eq!((table.absence, table.entries.len()), (Some(reason), 0), "{dimension:?}");
    }
}

#[tokio::test]
async fn whatever_it_is_called_it_is_asked_for_and_its_hosts_zeros_are_not_believed() {
    for runtime in RUNTIMES {
        let engine = recorded(&fixture("engine-20.10/stats.json"));
        set_runtime(&engine, "web", WEB, runtime);
        let rig = Rig::start(Endpoint::Unix(engine.socket()), quick(Polled::Sandboxed));
        let (sample, _) = rig.until(WEB, has_cpu).await;
        assert_eq!(sample.get(ids::MEMORY_USAGE), Reading::int(2_310_144), "{runtime}: the sandbox's own");
        assert!(sample.get(ids::SAMPLE_AGE).as_u64().is_some(), "{runtime}");
        // Throttling is of the cgroup on the host, which nothing runs in.
        assert_eq!(sample.get(ids::CPU_THROTTLED).value(), None, "{runtime}");

        engine.answer(&format!("/containers/{}/stats", full(WEB)), Answer::text(zeros()));
        let (sample, snapshot) = rig.until(WEB, |sample| !has_cpu(sample)).await;
        assert_nothing_is_shown(&sample, Absence::Sandboxed);
        let explained =
            absent(&snapshot).iter().any(|(why, count)| why == "memory sandboxed_runtime" && *count == 1);
        assert!(explained, "{runtime}");
    }
}

#[tokio::test]
async fn the_engine_is_asked_for_sandboxes_only() {
    let engine = recorded(&fixture("engine-20.10/stats.json"));
    set_runtime(&engine, "web", WEB, "runsc");
    let rig = Rig::start(Endpoint::Unix(engine.socket()), quick(Polled::Sandboxed));
    rig.until(WEB, has_cpu).await;
    let (sample, _) = rig.until("bf4ef61716d2", |_| true).await;
    assert_eq!(sample.get(ids::CPU_USAGE), Reading::Absent(Absence::NoController), "the kernel's word");
    let asked = engine.requests();
    let stray = asked.iter().find(|target| target.contains("/stats") && !target.contains(WEB));
    assert_eq!(stray, None);
}

/// What of a sandbox nobody counts is told from what is counted, group by group.
#[tokio::test]
async fn a_zero_beside_numbers_is_that_groups_alone() {
    let engine = recorded(&stats(&[("/pids_stats/current", 0.into())]));
    set_runtime(&engine, "web", WEB, "kata");
    let rig = Rig::start(Endpoint::Unix(engine.socket()), quick(Polled::Sandboxed));
    let (sample, _) = rig.until(WEB, has_cpu).await;
    assert_eq!(sample.get(ids::THREADS), Reading::Absent(Absence::Sandboxed));
    assert_eq!(sample.get(ids::MEMORY_USAGE), Reading::int(2_310_144));
    assert_eq!(sample.table(Dimension::Interface).entries.len(), 1);
}

/// No runtime is known by name for ever: what runs has used some time and some memory.
#[tokio::test]
async fn zeros_of_time_and_memory_are_absent_under_every_runtime() {
    let mut engine = recorded(&zeros());
    set_runtime(&engine, "web", WEB, "quark");
    let port = engine.listen_tcp(None).await;
    let rig = Rig::start(tcp(port), quick(Polled::All));
    let (sample, _) = rig.until(WEB, |sample| sample.get(ids::SAMPLE_AGE).as_u64().is_some()).await;
    assert_nothing_is_shown(&sample, Absence::NotInStatsApi);
    // One of them alone is a number like any other.
    let some = stats(&[("/cpu_stats/cpu_usage/total_usage", 0.into())]);
    engine.answer(&format!("/containers/{}/stats", full(WEB)), Answer::text(some));
    let (sample, _) = rig.until(WEB, has_cpu).await;
    assert_eq!(sample.get(ids::CPU_USAGE).as_u64(), Some(0));
    assert_eq!(sample.get(ids::MEMORY_USAGE), Reading::int(2_310_144));
}
