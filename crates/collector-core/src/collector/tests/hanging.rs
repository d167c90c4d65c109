//! Reads that do not return.

use std::time::Instant;

use super::*;

const DEADLINE: Duration = Duration::from_millis(700);

async fn collect_within(rig: &Rig, deadline: Duration) -> (Arc<Snapshot>, Duration) {
    let began = Instant::now();
    let snapshot = rig.collector.collect(Request::new(Groups::all()).deadline(deadline)).await;
    (snapshot, began.elapsed())
}

fn cpu(snapshot: &Snapshot, id: &str) -> Reading {
    shown(snapshot, id).sample.get(ids::CPU_USAGE)
}

/// A rig in which the reads of these hang until the gate opens; container `z` is well.
async fn hanging(workers: usize, ids: &[&str]) -> (Rig, Arc<Gate>) {
    let rig = Rig::with(Options { workers, ..Options::default() }, &[("docker", false)]);
    let gate = Arc::new(Gate::default());
    for id in ids.iter().chain(&["z"]) {
        rig.start(&running(id, 1)).await;
    }
    for id in ids {
        rig.set(id, |numbers| numbers.gate = Some(Arc::clone(&gate)));
    }
    (rig, gate)
}

#[tokio::test]
async fn one_hanging_read_costs_its_container_only() {
    let (rig, gate) = hanging(2, &["a"]).await;
    let (snapshot, took) = collect_within(&rig, DEADLINE).await;
    assert!(took >= DEADLINE && took < DEADLINE + Duration::from_secs(2), "{took:?}");
    assert_eq!(cpu(&snapshot, "a"), Reading::Absent(Absence::Timeout));
    assert!(cpu(&snapshot, "z").value().is_some());
    assert_eq!(snapshot.host.get(ids::SCRAPE_ERROR), Reading::int(1));
    assert_eq!(snapshot.host.get(ids::HOST_CPU_WAITING), Reading::Value(Value::Nanos(1)));
    assert_eq!(snapshot.exporter.get(ids::STUCK_WORKERS), Reading::int(1));
    assert_eq!(snapshot.exporter.get(ids::TIMED_OUT), Reading::int(1));
    let absent = nonzero(&snapshot.exporter, ids::METRIC_ABSENT);
    assert!(absent.contains(&("network timeout".to_owned(), 1)), "{absent:?}");

    // It is not tried again, and nobody waits for it again.
    let reads = rig.kernel.reads("a");
    let (snapshot, took) = collect_within(&rig, Duration::from_secs(60)).await;
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert_eq!(rig.kernel.reads("a"), reads);
    assert_eq!(cpu(&snapshot, "a"), Reading::Absent(Absence::Timeout));
    assert!(cpu(&snapshot, "z").value().is_some());

    gate.open();
    while cpu(&*rig.snapshot().await, "a").value().is_none() {}
    assert_eq!(rig.own(ids::STUCK_WORKERS).await, 0);
}

#[tokio::test]
async fn when_all_threads_hang_others_take_over() {
    let (rig, gate) = hanging(1, &["a", "b"]).await;
    let (snapshot, _) = collect_within(&rig, 2 * DEADLINE).await;
    assert!(cpu(&snapshot, "z").value().is_some());
    assert_eq!(cpu(&snapshot, "b"), Reading::Absent(Absence::Timeout));
    assert_eq!(snapshot.exporter.get(ids::STUCK_WORKERS), Reading::int(2));
    // And stay, for later collections and for containers that appear.
    rig.start(&running("y", 1)).await;
    let (snapshot, took) = collect_within(&rig, Duration::from_secs(60)).await;
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(cpu(&snapshot, "y").value().is_some() && cpu(&snapshot, "z").value().is_some());
    gate.open();
    while cpu(&*rig.snapshot().await, "b").value().is_none() {}
}

/// Threads have a bound; past it, what the engine says is still served, in time.
#[tokio::test]
async fn past_the_bound_of_threads_pages_still_come() {
    let (rig, gate) = hanging(1, &["a", "b", "c", "d", "e"]).await;
    let (snapshot, _) = collect_within(&rig, 3 * DEADLINE).await;
    assert_eq!(snapshot.exporter.get(ids::STUCK_WORKERS), Reading::int(4));
    let (snapshot, took) = collect_within(&rig, DEADLINE).await;
    assert!(took < DEADLINE + Duration::from_secs(2), "{took:?}");
    assert_eq!(snapshot.containers.len(), 6);
    assert_eq!(cpu(&snapshot, "z"), Reading::Absent(Absence::Timeout));
    assert_eq!(shown(&snapshot, "z").sample.get(ids::RESTARTS), Reading::int(0));
    gate.open();
    while cpu(&*rig.snapshot().await, "z").value().is_none() {}
}

#[tokio::test]
async fn who_joined_with_less_time_does_not_wait_longer() {
    let (rig, gate) = hanging(2, &["a"]).await;
    let patient = collect_within(&rig, Duration::from_secs(60));
    let hasty = async {
        let (snapshot, took) = collect_within(&rig, Duration::from_millis(100)).await;
        gate.open();
        (snapshot, took)
    };
    let ((patient, _), (hasty, took)) = tokio::join!(patient, hasty);
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(cpu(&hasty, "a"), Reading::Absent(Absence::Timeout));
    assert!(cpu(&patient, "a").value().is_some());
}

/// The files of a run that ended while a thread hung in it are closed by that thread.
#[tokio::test]
async fn what_hung_over_the_end_is_closed_after_it() {
    let (rig, gate) = hanging(2, &["a"]).await;
    collect_within(&rig, DEADLINE).await;
    assert_eq!(rig.kernel.probes.load(SeqCst), 2);
    rig.upsert(&ended(&running("a", 1), 0)).await;
    gate.open();
    while rig.kernel.probes.load(SeqCst) > 1 {
        tokio::task::yield_now().await;
    }
}
