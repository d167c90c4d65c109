//! Engines on other machines and sandboxed runtimes: numbers from the stats API, by recorded answers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use collector_core::{
    Absence, Collector, Container, Groups, Inventory, OnSignal, Options as CollectorOptions, Probe, Reading,
    Request, Sample, Sampler, Snapshot, Value,
    catalogue::{Dimension, ids},
};
use source_docker::{Endpoint, Options, Polled, StatsInventory, StatsOptions, StatsSampler, TlsFiles};
use test_support::{Answer, RecordedEngine, engine::fixture};

const WEB: &str = "00d3e1f1c5a1";

/// The kernel: which finds none of another machine's containers, and must not be asked for them.
struct Nobody;

impl Sampler for Nobody {
    fn open(&self, _: &Container, _: OnSignal) -> Result<Box<dyn Probe>, Absence> {
        Err(Absence::NoController)
    }

    fn host(&self, _: Groups, _: &mut Sample) {}
}

struct Rig {
    collector: Collector,
}

impl Rig {
    fn start(endpoint: Endpoint, stats: StatsOptions) -> Self {
        let mut options = Options::default();
        options.endpoint = endpoint;
        options.backoff_min = Duration::from_millis(5);
        options.backoff_max = Duration::from_millis(20);
        options.relist_pause = Duration::from_millis(10);
        let inventory = Arc::new(StatsInventory::new(options, stats));
        let sampler = StatsSampler::new(Arc::new(Nobody), std::slice::from_ref(&inventory));
        let inventories: Vec<Arc<dyn Inventory>> = vec![inventory];
        let own: Box<dyn Fn(&mut Sample) + Send + Sync> = Box::new(|_| {});
        let collector = Collector::start(CollectorOptions::default(), inventories, Arc::new(sampler), own);
        Self { collector }
    }

    async fn snapshot(&self) -> Arc<Snapshot> {
        self.collector.collect(Request::new(Groups::all())).await
    }

    /// Collects until a container's sample satisfies the condition.
    async fn until(&self, id: &str, condition: impl Fn(&Sample) -> bool) -> (Arc<Sample>, Arc<Snapshot>) {
        let wait = async {
            loop {
                let snapshot = self.snapshot().await;
                let found = snapshot.containers.iter().find(|c| c.container.id.as_str().starts_with(id));
                if let Some(found) = found
                    && condition(&found.sample)
                {
                    return (found.sample.clone(), snapshot.clone());
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("the sample never came to that")
    }
}

fn quick(polled: Polled) -> StatsOptions {
    let mut options = StatsOptions::new(polled);
    options.interval = Duration::from_millis(20);
    options
}

fn ids_of_list() -> Vec<String> {
    let list: serde_json::Value = serde_json::from_str(&fixture("engine-20.10/list.json")).unwrap();
    list.as_array().unwrap().iter().map(|entry| entry["Id"].as_str().unwrap().to_owned()).collect()
}

/// An engine with the recorded containers, each of which has these numbers.
fn recorded(stats: &str) -> RecordedEngine {
    let engine = RecordedEngine::start();
    engine.answer("/containers/json", Answer::text(fixture("engine-20.10/list.json")));
    let mut inspects = BTreeMap::new();
    for name in ["web", "none", "share", "host", "renamed", "made", "fail", "policy", "oom"] {
        let body = fixture(&format!("engine-20.10/inspect-{name}.json"));
        let id: serde_json::Value = serde_json::from_str(&body).unwrap();
        inspects.insert(id["Id"].as_str().unwrap().to_owned(), body);
    }
    for id in ids_of_list() {
        engine.answer(&format!("/containers/{id}/json"), Answer::text(inspects[&id].clone()));
        engine.answer(&format!("/containers/{id}/stats"), Answer::text(stats.to_owned()));
    }
    engine
}

fn tcp(port: u16) -> Endpoint {
    Endpoint::parse(&format!("tcp://127.0.0.1:{port}")).unwrap()
}

fn has_cpu(sample: &Sample) -> bool {
    sample.get(ids::CPU_USAGE).value().is_some()
}

fn is_inspected(sample: &Sample) -> bool {
    has_cpu(sample) && sample.get(ids::CPU_SPEC_QUOTA).value().is_some()
}

fn absent(snapshot: &Snapshot) -> Vec<(String, u64)> {
    let table = snapshot.exporter.table(Dimension::Absent);
    table.entries.iter().map(|entry| (entry.labels.join(" "), entry.cells[0].as_u64().unwrap())).collect()
}

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
    engine.headers(&[
        ("api-version", "1.41"),
        ("libpod-api-version", "5.4.2"),
        ("server", "Libpod/5.4.2 (linux)"),
    ]);
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

#[tokio::test]
async fn no_more_than_four_requests_are_open() {
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
    let mut options = quick(Polled::All);
    options.timeout = Duration::from_millis(200);
    let rig = Rig::start(tcp(port), options);
    let asked = |engine: &RecordedEngine| {
        engine.requests().into_iter().filter(|target| target.contains("/stats")).collect::<Vec<_>>()
    };
    engine.wait_for("/stats", 4).await;
    // Nobody answers: the fifth can only follow when one of the four has run into its deadline, 200 ms later.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(asked(&engine).len(), 4);
    // The deadline holds for the body, although the heads came; and the oldest come first: each once before any twice.
    engine.wait_for("/stats", 13).await;
    let first: std::collections::BTreeSet<String> = asked(&engine).into_iter().take(12).collect();
    assert_eq!(first.len(), 12);
    let (sample, _) =
        rig.until(&ids[0], |sample| sample.get(ids::CPU_USAGE) == Reading::Absent(Absence::Timeout)).await;
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
    for id in ids_of_list() {
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
    let ids = ids_of_list();
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

#[tokio::test]
async fn a_sandboxed_container_is_asked_for_and_its_hosts_zeros_are_not_believed() {
    let engine = recorded(&fixture("engine-20.10/stats.json"));
    let ids = ids_of_list();
    let full = |id: &str| ids.iter().find(|full| full.starts_with(id)).unwrap().clone();
    let sandboxed = |name: &str, id: &str, runtime: &str| {
        let body = fixture(&format!("engine-20.10/inspect-{name}.json"));
        let body = body.replace(r#""Runtime":"runc""#, &format!(r#""Runtime":"{runtime}""#));
        assert!(body.contains(runtime), "{body}");
        engine.answer(&format!("/containers/{}/json", full(id)), Answer::text(body));
    };
    sandboxed("web", WEB, "runsc");
    sandboxed("renamed", "a0c76eb9a97f", "kata-runtime");
    let mut zeros: serde_json::Value = serde_json::from_str(&fixture("engine-20.10/stats.json")).unwrap();
    zeros["cpu_stats"]["cpu_usage"]["total_usage"] = 0.into();
    zeros["memory_stats"]["usage"] = 0.into();
    zeros["pids_stats"]["current"] = 0.into();
    engine.answer(&format!("/containers/{}/stats", full("a0c76eb9a97f")), Answer::text(zeros.to_string()));
    let rig = Rig::start(Endpoint::Unix(engine.socket()), quick(Polled::Sandboxed));
    let (sample, _) = rig.until(WEB, has_cpu).await;
    assert_eq!(sample.get(ids::MEMORY_USAGE), Reading::int(2_310_144));
    let (sample, snapshot) = rig.until("a0c76eb9a97f", |sample| sample.taken_at.is_some()).await;
    for row in [ids::CPU_USAGE, ids::CPU_USER, ids::MEMORY_USAGE, ids::MEMORY_RSS, ids::THREADS] {
        assert_eq!(sample.get(row), Reading::Absent(Absence::Sandboxed), "{row:?}");
    }
    assert!(
        absent(&snapshot).iter().any(|(labels, count)| labels == "memory sandboxed_runtime" && *count == 1)
    );
    // The others are the kernel's: nobody asks the engine for them.
    let web = full(WEB);
    let kata = full("a0c76eb9a97f");
    let asked = engine.requests();
    let stray = asked.iter().find(|r| r.contains("/stats") && !r.contains(&web) && !r.contains(&kata));
    assert_eq!(stray, None);
    let (sample, _) = rig.until("bf4ef61716d2", |_| true).await;
    assert_eq!(sample.get(ids::CPU_USAGE), Reading::Absent(Absence::NoController), "the kernel's word");
}
