//! Engines on other machines and sandboxed runtimes: numbers from the stats API, by recorded answers.

mod rig;
mod sandbox;

use std::{collections::BTreeSet, time::Duration};

use collector_core::{
    Absence, Reading, Value,
    catalogue::{Dimension, ids},
};
use source_docker::{Polled, StatsOptions, TlsFiles};
use test_support::{Answer, RecordedEngine, engine::fixture};

use rig::{Rig, WEB, absent, full_ids, has_cpu, is_inspected, quick, recorded, tcp};

#[tokio::test]
async fn the_numbers_of_a_v1_engine_by_tcp() {
    let mut engine = recorded(&fixture("engine-20.10/stats.json"));
    let port = engine.listen_tcp(None).await;
    let rig = Rig::start(tcp(port), quick(Polled::All));
    let (sample, _) = rig.until(WEB, is_inspected).await;
    let int = |row| sample.get(row).as_u64();
    assert_eq!(sample.get(ids::CPU_USAGE), Reading::Value(Value::Nanos(25_526_696)));
    assert_eq!(int(ids::CPU_USER), Some(10_000_000));
    assert_eq!(int(ids::MEMORY_USAGE), Some(2_310_144));
    assert_eq!(int(ids::MEMORY_MAX_USAGE), Some(3_821_568));
    assert_eq!(int(ids::MEMORY_WORKING_SET), Some(2_310_144 - 839_680));
    assert_eq!(int(ids::MEMORY_RSS), Some(53_248));
    assert_eq!(int(ids::MEMORY_CACHE), Some(1_982_464));
    assert_eq!(int(ids::MEMORY_FAILCNT), Some(0), "left out of the answer where it is 0");
    assert_eq!(int(ids::MEMORY_LIMIT), Some(67_108_864));
    assert_eq!(int(ids::MEMORY_SPEC_LIMIT), Some(67_108_864));
    assert_eq!(int(ids::CPU_SPEC_QUOTA), Some(50_000));
    assert_eq!(sample.get(ids::CPU_LIMIT), Reading::Value(Value::Float(0.5)));
    assert_eq!(int(ids::THREADS), Some(1));
    let interfaces = &sample.table(Dimension::Interface).entries;
    assert_eq!(interfaces.len(), 1);
    assert_eq!(&*interfaces[0].labels[0], "eth0");
    assert_eq!(interfaces[0].cells[0], Reading::int(486));
    assert!(sample.get(ids::SAMPLE_AGE).as_u64().is_some());
    assert_eq!(sample.get(ids::CPU_BURST), Reading::Absent(Absence::NotInStatsApi));
    // Each container is counted once its own answer has come.
    let all = async {
        loop {
            let absent = absent(&*rig.snapshot().await);
            if absent.iter().any(|(why, count)| why == "pressure not_in_stats_api" && *count == 5) {
                return absent;
            }
            tokio::task::yield_now().await;
        }
    };
    let absent = tokio::time::timeout(Duration::from_secs(10), all).await.expect("all five are absent so");
    assert!(
        !absent.iter().any(|(labels, _)| labels.contains("no_controller")),
        "the kernel was asked: {absent:?}"
    );
    let requests = engine.requests();
    assert!(requests.iter().any(|r| r.ends_with("/stats?stream=false&one-shot=true")), "{requests:#?}");
}

#[tokio::test]
async fn the_numbers_of_a_v2_engine() {
    let mut engine = recorded(&fixture("engine-26.1/stats.json"));
    let port = engine.listen_tcp(None).await;
    let rig = Rig::start(tcp(port), quick(Polled::All));
    let (sample, _) = rig.until(WEB, is_inspected).await;
    let int = |row| sample.get(row).as_u64();
    assert_eq!(int(ids::CPU_USAGE), Some(210_000_000));
    assert_eq!(int(ids::CPU_PERIODS), Some(7));
    assert_eq!(int(ids::CPU_THROTTLED), Some(30_000_000));
    assert_eq!(int(ids::MEMORY_USAGE), Some(278_528));
    assert_eq!(int(ids::MEMORY_RSS), Some(49_152));
    assert_eq!(int(ids::MEMORY_PGFAULT), Some(1_323));
    assert_eq!(int(ids::THREADS_MAX), Some(3_602));
    for row in [ids::MEMORY_MAX_USAGE, ids::MEMORY_FAILCNT, ids::MEMORY_SWAP] {
        assert_eq!(sample.get(row), Reading::Absent(Absence::NotInStatsApi), "{row:?}");
    }
    assert_eq!(sample.table(Dimension::Device).absence, Some(Absence::NotCounted));
}

#[tokio::test]
async fn what_podman_makes_up_is_absent() {
    let mut engine = recorded(&fixture("podman/stats.json"));
    engine.say_podman();
    let port = engine.listen_tcp(None).await;
    let rig = Rig::start(tcp(port), quick(Polled::All));
    let (sample, _) = rig.until(WEB, has_cpu).await;
    assert_eq!(sample.get(ids::CPU_USAGE).as_u64(), Some(40_000_000));
    assert_eq!(sample.get(ids::MEMORY_USAGE).as_u64(), Some(49_152));
    // Its kernel time has another unit, its throttling is always 0, and `memory.stat` it leaves out.
    for row in [ids::CPU_USER, ids::CPU_SYSTEM, ids::CPU_PERIODS, ids::MEMORY_RSS, ids::MEMORY_WORKING_SET] {
        assert_eq!(sample.get(row), Reading::Absent(Absence::NotInStatsApi), "{row:?}");
    }
}

#[tokio::test]
async fn whose_network_it_is_counts() {
    let mut engine = recorded(&fixture("engine-20.10/stats.json"));
    let port = engine.listen_tcp(None).await;
    let rig = Rig::start(tcp(port), quick(Polled::All));
    for (id, reason) in [
        ("bf4ef61716d2", Absence::SharedNetwork),
        ("2b8c24de1b2d", Absence::NoNetwork),
        ("42624affb6e3", Absence::HostNetwork),
    ] {
        let (sample, _) = rig.until(id, has_cpu).await;
        let table = sample.table(Dimension::Interface);
        assert_eq!((table.absence, table.entries.len()), (Some(reason), 0), "{id}");
    }
}

#[tokio::test]
async fn tls_with_certificates_of_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = recorded(&fixture("engine-20.10/stats.json"));
    let port = engine.listen_tcp(Some(test_support::tls::mutual_tls(folder.path(), "127.0.0.1"))).await;
    let files = TlsFiles { folder: folder.path().to_owned() };
    let rig = Rig::start(tcp(port).with_tls(Some(files)), quick(Polled::All));
    rig.until(WEB, has_cpu).await;
}

#[tokio::test]
async fn an_engine_that_cannot_prove_who_it_is_is_not_talked_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = recorded(&fixture("engine-20.10/stats.json"));
    let port = engine.listen_tcp(Some(test_support::tls::mutual_tls(folder.path(), "somebody.else"))).await;
    let files = TlsFiles { folder: folder.path().to_owned() };
    let rig = Rig::start(tcp(port).with_tls(Some(files)), quick(Polled::All));
    rig.collector.wait_until(|collector| collector.sources()[0].status.is_some()).await;
    let status = format!("{:?}", rig.collector.sources()[0].status);
    assert!(status.contains("Down") && status.contains("certificate"), "{status}");
    assert!(engine.requests().is_empty());
}

/// An engine with twelve containers that gives nobody's numbers, and their ids.
async fn silent(stats: StatsOptions) -> (RecordedEngine, Rig, Vec<String>) {
    let mut engine = recorded("");
    let ids: Vec<String> = (0..12).map(|n| format!("{n:064x}")).collect();
    let list: Vec<String> = ids
        .iter()
        .map(|id| format!(r#"{{"Id":"{id}","Names":["/c{id}"],"State":"running","Created":1}}"#))
        .collect();
    engine.answer("/containers/json", Answer::text(format!("[{}]", list.join(","))));
    for id in &ids {
        engine.answer(&format!("/containers/{id}/stats"), Answer::Stall);
    }
    let port = engine.listen_tcp(None).await;
    let rig = Rig::start(tcp(port), stats);
    (engine, rig, ids)
}

fn asked_for_numbers(engine: &RecordedEngine) -> Vec<String> {
    engine.requests().into_iter().filter(|target| target.contains("/stats")).collect()
}

#[tokio::test]
async fn no_more_than_four_requests_are_open() {
    let mut options = quick(Polled::All);
    options.timeout = Duration::from_hours(1);
    let (engine, _rig, _) = silent(options).await;
    engine.wait_for("/stats", 4).await;
    // What else there is to be done goes on: by then a fifth would have come.
    let pings = engine.requests().iter().filter(|target| target.contains("/_ping")).count();
    engine.wait_for("/_ping", pings + 5).await;
    assert_eq!(asked_for_numbers(&engine).len(), 4);
}

#[tokio::test]
async fn an_answer_has_its_time_and_the_oldest_come_first() {
    let mut options = quick(Polled::All);
    options.timeout = Duration::from_millis(20);
    let (engine, rig, names) = silent(options).await;
    // The deadline holds for the body, although the heads came; each is asked for once before any is twice.
    engine.wait_for("/stats", 13).await;
    let first: BTreeSet<String> = asked_for_numbers(&engine).into_iter().take(12).collect();
    assert_eq!(first.len(), 12);
    let (sample, _) =
        rig.until(&names[0], |sample| sample.get(ids::CPU_USAGE) == Reading::Absent(Absence::Timeout)).await;
    assert_eq!(sample.get(ids::SAMPLE_AGE).as_u64(), None);
}

#[tokio::test]
async fn old_numbers_go_and_their_age_stays() {
    let mut engine = recorded(&fixture("engine-20.10/stats.json"));
    let port = engine.listen_tcp(None).await;
    let mut options = quick(Polled::All);
    options.max_age = Duration::from_millis(500);
    let rig = Rig::start(tcp(port), options);
    let (sample, _) = rig.until(WEB, has_cpu).await;
    assert!(sample.get(ids::SAMPLE_AGE).as_u64().unwrap() <= 500_000_000);
    for id in full_ids() {
        engine.answer(&format!("/containers/{id}/stats"), Answer::Status(500, "{}".into()));
    }
    let (sample, snapshot) =
        rig.until(WEB, |sample| sample.get(ids::MEMORY_USAGE) == Reading::Absent(Absence::Stale)).await;
    assert!(sample.get(ids::SAMPLE_AGE).as_u64().unwrap() > 500_000_000);
    assert_eq!(sample.get(ids::CPU_USAGE_PERCENT).value(), None);
    assert!(absent(&snapshot).iter().any(|(labels, _)| labels == "memory stale"));
}

#[tokio::test]
async fn bodies_that_are_no_answers_cost_their_container_only() {
    let mut engine = recorded(&fixture("engine-20.10/stats.json"));
    let ids = full_ids();
    let full = |id: &str| ids.iter().find(|full| full.starts_with(id)).unwrap().clone();
    let endless = format!("{{\"x\":\"{}\"}}", "x".repeat(2 << 20));
    let zeros =
        r#"{"read":"0001-01-01T00:00:00Z","cpu_stats":{"cpu_usage":{"total_usage":0}},"memory_stats":{}}"#;
    for (id, body) in [("bf4ef61716d2", endless.as_str()), ("2b8c24de1b2d", "[1,"), ("42624affb6e3", zeros)] {
        engine.answer(&format!("/containers/{}/stats", full(id)), Answer::text(body));
    }
    let port = engine.listen_tcp(None).await;
    let rig = Rig::start(tcp(port), quick(Polled::All));
    rig.until(WEB, has_cpu).await;
    for (id, reason) in [
        ("bf4ef61716d2", Absence::NotReachable),
        ("2b8c24de1b2d", Absence::Malformed),
        ("42624affb6e3", Absence::NotRunning),
    ] {
        rig.until(id, |sample| sample.get(ids::CPU_USAGE) == Reading::Absent(reason)).await;
    }
}

/// The engines of users come while the collector runs.
#[tokio::test]
async fn an_engine_that_is_found_later_is_asked_as_the_first_are() {
    let mut engine = recorded(&fixture("engine-20.10/stats.json"));
    let port = engine.listen_tcp(None).await;
    Rig::start_and_add(tcp(port), quick(Polled::All)).until(WEB, has_cpu).await;
}
