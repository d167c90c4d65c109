//! What a snapshot holds, and when collections are shared.

use super::*;
use crate::select::Selection;

#[tokio::test]
async fn containers_are_sorted_and_rows_of_all_origins_there() {
    let rig = Rig::new();
    let mut stopped = ended(&running("b", 1), 3);
    stopped.health = Some(crate::Health::NoCheck);
    rig.tell(Change::Listed(vec![running("c", 1), stopped, running("a", 1)])).await;
    rig.set("a", |numbers| numbers.cpu_seconds = 2.0);
    let snapshot = rig.snapshot().await;
    let ids: Vec<_> = snapshot.containers.iter().map(|shown| shown.container.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    let a = &shown(&snapshot, "a").sample;
    assert_eq!(a.get(ids::CPU_USAGE), Reading::Value(Value::Nanos(2_000_000_000)), "the kernel's");
    assert_eq!(a.get(ids::MEMORY_WORKING_SET), Reading::int(600), "derived");
    assert_eq!(a.get(ids::MEMORY_USAGE_PERCENT), Reading::Value(Value::Float(10.0)), "derived of derived");
    let b = &shown(&snapshot, "b").sample;
    assert_eq!(b.get(ids::EXIT_CODE), Reading::int(3), "the engine's");
    assert_eq!(b.get(ids::HEALTH_STATE), Reading::Value(Value::Float(-1.0)));
    assert_eq!(b.get(ids::CPU_USAGE), Reading::Absent(Absence::NotRunning));
    assert_eq!(a.get(ids::RESTARTS), Reading::int(0), "the collector's");
    assert_eq!(a.get(ids::OOM_EVENTS), Reading::int(0));
    assert!(a.get(ids::LAST_SEEN).value().is_some());
    assert_eq!(nonzero(&snapshot.host, ids::CONTAINER_COUNT), named(&[("running", 2), ("exited", 1)]));
    assert_eq!(snapshot.exporter.get(ids::KEPT_FDS), Reading::int(77));
    assert!(snapshot.root.is_none());
    assert!(snapshot.container(&ContainerId::new("d")).is_none());
}

#[tokio::test]
async fn the_root_comes_when_asked_for_with_its_derived_rows() {
    let rig = Rig::new();
    let snapshot = rig.collector.collect(Request::new(Groups::all()).with_root(true)).await;
    let root = snapshot.root.as_ref().unwrap();
    assert_eq!(root.get(ids::MEMORY_USAGE), Reading::int(1000));
    assert_eq!(root.get(ids::MEMORY_WORKING_SET), Reading::int(600));
}

#[tokio::test]
async fn only_wanted_and_allowed_groups_are_collected() {
    let cpu_only = Groups::NONE.with(Group::Cpu);
    let rig = Rig::new();
    rig.start(&running("a", 1)).await;
    let cpu = rig.collect(cpu_only).await;
    assert_eq!(cpu.groups, cpu_only);
    let a = &shown(&cpu, "a").sample;
    assert!(a.get(ids::CPU_USAGE).value().is_some());
    assert_eq!(a.get(ids::RESTARTS), Reading::Absent(Absence::NotCollected));
    assert_eq!(a.get(ids::MEMORY_WORKING_SET), Reading::Absent(Absence::NotCollected));
    assert_eq!(rig.kernel.reads("host"), 0);

    let options = Options { groups: cpu_only.with(Group::State), ..Options::default() };
    let rig = Rig::with(options, &[("docker", false)]);
    rig.start(&running("a", 1)).await;
    let all = rig.snapshot().await;
    assert_eq!(all.groups, cpu_only.with(Group::State), "what is switched off is not collected");
    assert_eq!(shown(&all, "a").sample.get(ids::RESTARTS), Reading::int(0));
    assert_eq!(rig.kernel.reads("host"), 0);
}

#[tokio::test]
async fn concurrent_requests_share_one_collection() {
    let rig = Rig::new();
    rig.start(&running("a", 1)).await;
    let (reads, collections) = (rig.kernel.reads("a"), rig.own(ids::COLLECTIONS).await);
    let gate = Arc::new(Gate::default());
    rig.set("a", |numbers| numbers.gate = Some(Arc::clone(&gate)));
    let release = async {
        rig.read_more_than("a", reads + 1).await;
        gate.open();
    };
    // Each is begun before the gate opens: they are polled in this order.
    let (first, second, narrow, ()) =
        tokio::join!(rig.snapshot(), rig.snapshot(), rig.collect(Groups::NONE.with(Group::Cpu)), release);
    assert!(Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&first, &narrow));
    assert_eq!(rig.kernel.reads("a"), reads + 2);
    assert_eq!(rig.own(ids::COLLECTIONS).await, collections + 2, "its own reading is one of them");
}

#[tokio::test]
async fn who_wants_more_does_not_join() {
    let rig = Rig::new();
    rig.start(&running("a", 1)).await;
    let gate = Arc::new(Gate::default());
    lock(&rig.kernel.seen).host_gate = Some(Arc::clone(&gate));
    let host = Groups::NONE.with(Group::Host);
    let release = async {
        rig.read_more_than("host", 0).await;
        gate.open();
    };
    let root = async { rig.collector.collect(Request::new(host).with_root(true)).await };
    let (narrow, wide, root, ()) =
        tokio::join!(rig.collect(host), rig.collect(host.with(Group::Pids)), root, release);
    assert_eq!(narrow.groups, host);
    assert!(wide.groups.has(Group::Pids), "and not what ran already");
    assert!(narrow.root.is_none() && root.root.is_some());
}

#[tokio::test]
async fn an_old_snapshot_serves_whoever_takes_one() {
    let rig = Rig::new();
    let old = Duration::from_secs(10);
    let host = Groups::NONE.with(Group::Host);
    let request = Request::new(host);
    let first = rig.collector.collect(request).await;
    assert!(Arc::ptr_eq(&first, &rig.collector.collect(request.max_age(old)).await));
    assert!(!Arc::ptr_eq(&first, &rig.collector.collect(request).await), "fresh");
    let first = rig.collector.collect(request).await;
    assert!(!Arc::ptr_eq(&first, &rig.collector.collect(Request::new(Groups::all()).max_age(old)).await));
    let first = rig.snapshot().await;
    assert!(Arc::ptr_eq(&first, &rig.collector.collect(request.max_age(old)).await), "it covers more");
    let rooted = rig.collector.collect(request.with_root(true).max_age(old)).await;
    assert!(rooted.root.is_some() && !Arc::ptr_eq(&first, &rooted));
    rig.upsert(&running("a", 1)).await;
    let after = rig.collector.collect(request.with_root(true).max_age(old)).await;
    assert!(!Arc::ptr_eq(&rooted, &after), "a container has come since");
    let rooted = after;
    rig.pass_time(old);
    assert!(!Arc::ptr_eq(&rooted, &rig.collector.collect(request.max_age(old)).await), "too old");
}

#[tokio::test]
async fn the_percentage_spans_two_collections() {
    let rig = Rig::new();
    rig.start(&running("a", 1)).await;
    assert!(matches!(rig.of("a", ids::CPU_USAGE_PERCENT).await, Reading::Absent(_)));
    rig.pass_time(Duration::from_secs(10));
    rig.set("a", |numbers| numbers.cpu_seconds = 25.0);
    let Reading::Value(Value::Float(percent)) = rig.of("a", ids::CPU_USAGE_PERCENT).await else {
        panic!("no percentage");
    };
    assert!((200.0..=250.0).contains(&percent), "{percent}");
}

#[tokio::test]
async fn what_is_absent_is_counted_by_group_and_reason() {
    let rig = Rig::new();
    rig.set("a", |numbers| numbers.closed = Some(Absence::Sandboxed));
    rig.set("b", |numbers| numbers.closed = Some(Absence::Sandboxed));
    rig.tell(Change::Listed(vec![running("a", 1), running("b", 1), ended(&running("c", 1), 0)])).await;
    rig.start(&running("d", 1)).await;
    let groups = Groups::NONE.with(Group::Cpu).with(Group::Network).with(Group::Exporter);
    let snapshot = rig.collect(groups).await;
    let absent = nonzero(&snapshot.exporter, ids::METRIC_ABSENT);
    assert!(absent.iter().all(|(labels, _)| !labels.contains("no_source")), "{absent:?}");
    let absent: Vec<_> = absent.into_iter().filter(|(labels, _)| labels.contains("sandboxed")).collect();
    assert_eq!(
        absent,
        named(&[("cpu sandboxed_runtime", 2), ("network sandboxed_runtime", 2)]),
        "stopped containers lack nothing, tables count, and inputs that nobody sees do not"
    );
}

#[tokio::test]
async fn what_was_only_listed_is_not_read_before_its_engine_tells_what_runs_it() {
    let rig = Rig::new();
    let mut listed = running("a", 1);
    listed.awaits_inspect = true;
    rig.upsert(&listed).await;
    assert_eq!(rig.of("a", ids::CPU_USAGE).await, Reading::Absent(Absence::NotInspected));
    rig.start(&running("a", 1)).await;
    assert!(matches!(rig.of("a", ids::CPU_USAGE).await, Reading::Value(_)));
    // An engine that comes back, or comes later than the kernel's own sight, takes nothing away.
    rig.upsert(&listed).await;
    assert!(matches!(rig.of("a", ids::CPU_USAGE).await, Reading::Value(_)));
}

#[tokio::test]
async fn an_open_that_fails_is_tried_again_later() {
    let rig = Rig::new();
    rig.set("a", |numbers| numbers.closed = Some(Absence::PermissionDenied));
    rig.tell(Change::Listed(vec![running("a", 1)])).await;
    for _ in 0..3 {
        assert_eq!(rig.of("a", ids::CPU_USAGE).await, Reading::Absent(Absence::PermissionDenied));
    }
    assert_eq!(rig.opens("a"), 1);
    rig.set("a", |numbers| numbers.closed = None);
    rig.pass_time(Duration::from_secs(6));
    assert!(rig.of("a", ids::CPU_USAGE).await.value().is_some());
    assert_eq!(rig.opens("a"), 2);
}

#[tokio::test]
async fn a_container_that_goes_while_it_is_read_is_absent() {
    let rig = Rig::new();
    rig.set("a", |numbers| numbers.gone = true);
    rig.upsert(&running("a", 1)).await;
    assert_eq!(rig.of("a", ids::CPU_USAGE).await, Reading::Absent(Absence::NotRunning));
    assert_eq!(rig.kernel.probes.load(SeqCst), 0, "nothing is kept open");
}

#[tokio::test]
async fn selection_and_limits_are_kept_and_counted() {
    let selection = Selection::new(&[] as &[&str], &["name=secret-*"]).unwrap();
    let options = Options { selection, containers_max: 4, stopped_max: 2, ..Options::default() };
    let rig = Rig::with(options, &[("docker", false)]);
    let mut secret = running("a", 1);
    secret.name = Some("secret-1".into());
    let mut list = vec![secret];
    // Those that ended first have the last ids.
    for (id, end) in [("b", 30), ("c", 20), ("d", 10)] {
        let mut stopped = ended(&running_before(id), 0);
        stopped.finished_at = Some(UNIX_EPOCH + Duration::from_secs(end));
        list.push(stopped);
    }
    rig.tell(Change::Listed(list)).await;
    let known = || rig.collector.known().iter().map(|known| known.id.to_string()).collect::<Vec<_>>();
    assert_eq!(known(), ["b", "c"], "the one that ended first gave way");
    for id in ["e", "f", "g"] {
        rig.upsert(&running(id, 1)).await;
    }
    assert_eq!(known(), ["b", "c", "e", "f"]);
    let snapshot = rig.snapshot().await;
    let dropped = named(&[("excluded", 1), ("too_many", 1), ("too_many_stopped", 1)]);
    assert_eq!(nonzero(&snapshot.exporter, ids::CONTAINERS_DROPPED), dropped);
    // What is renamed out of the selection is not shown any more, but has not ended.
    let mut renamed = running("e", 1);
    renamed.name = Some("secret-2".into());
    rig.upsert(&renamed).await;
    assert_eq!(known(), ["b", "c", "f"]);
    assert_eq!(rig.exits().await, []);
    // What goes is not counted as dropped any more.
    rig.tell(Change::Gone(ContainerId::new("a"))).await;
    let snapshot = rig.snapshot().await;
    assert_eq!(nonzero(&snapshot.exporter, ids::CONTAINERS_DROPPED)[0], ("excluded".to_owned(), 1));
}

#[tokio::test]
async fn what_a_group_has_beyond_its_budget_is_left_out_and_counted() {
    let options = Options { series_per_group: 60, ..Options::default() };
    let rig = Rig::with(options, &[("docker", false)]);
    rig.tell(Change::Listed(vec![running("a", 1), running("b", 2), running("c", 3)])).await;
    for _ in 0..2 {
        let snapshot = rig.collect(Groups::all().without(Group::NetworkDetail)).await;
        let left_out = |id| shown(&snapshot, id).left_out;
        assert!(!left_out("a").has(Group::Memory) && left_out("b").has(Group::Memory));
        assert!(left_out("c").has(Group::Memory) && !left_out("c").has(Group::Pids));
        assert!(!left_out("c").has(Group::NetworkDetail), "nobody asked for it");
        assert!(
            shown(&snapshot, "c").sample.get(ids::MEMORY_USAGE).value().is_some(),
            "it is known all the same"
        );
        let absent = nonzero(&snapshot.exporter, ids::METRIC_ABSENT);
        assert!(absent.contains(&("memory over_budget".to_owned(), 2)), "{absent:?}");
        let dropped = nonzero(&snapshot.exporter, ids::SERIES_DROPPED);
        let memory =
            dropped.iter().find(|(labels, _)| labels == "memory over_budget").map(|(_, series)| *series);
        assert!(memory.is_some_and(|series| series > 60 && series % 2 == 0), "{dropped:?}");
        assert!(!dropped.iter().any(|(labels, _)| labels.starts_with("pids")), "{dropped:?}");
    }
    rig.tell(Change::Gone(ContainerId::new("a"))).await;
    let snapshot = rig.snapshot().await;
    assert!(!shown(&snapshot, "b").left_out.has(Group::Memory), "the next has its room");
}
