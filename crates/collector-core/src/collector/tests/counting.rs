//! OOM kills, CPU time and last samples: what is counted while the collector watches.

use super::*;

/// The container's and the host's count, which must agree where there is one container.
async fn oom(rig: &Rig, id: &str) -> u64 {
    let snapshot = rig.snapshot().await;
    let host = snapshot.host.get(ids::HOST_OOM_KILLS).as_u64().unwrap();
    assert_eq!(shown(&snapshot, id).sample.get(ids::OOM_EVENTS), Reading::int(host));
    host
}

fn killed(run: &Container) -> Container {
    let mut container = ended(run, 137);
    container.oom_killed = true;
    container
}

async fn rig_with(run: &Container, kills: Option<u64>) -> Rig {
    let rig = Rig::new();
    rig.set("a", |numbers| numbers.oom_kills = kills);
    rig.start(run).await;
    rig
}

#[tokio::test]
async fn the_kernels_count_counts_once() {
    let rig = rig_with(&running("a", 1), Some(0)).await;
    assert_eq!(oom(&rig, "a").await, 0);
    rig.set("a", |numbers| numbers.oom_kills = Some(1));
    for _ in 0..3 {
        assert_eq!(oom(&rig, "a").await, 1);
    }
    rig.set("a", |numbers| numbers.oom_kills = Some(4));
    rig.signal("a", Signal::MemoryEvent);
    // The signal alone has counted it.
    rig.set("a", |numbers| numbers.gone = true);
    assert_eq!(oom(&rig, "a").await, 4);
}

#[tokio::test]
async fn what_was_before_us_does_not_count() {
    let rig = rig_with(&running_before("a"), Some(3)).await;
    assert_eq!(oom(&rig, "a").await, 0);
    rig.set("a", |numbers| numbers.oom_kills = Some(4));
    assert_eq!(oom(&rig, "a").await, 1);
    // But of a run that began under our eyes all is ours.
    let rig = rig_with(&running("a", 1), Some(3)).await;
    assert_eq!(oom(&rig, "a").await, 3);
}

/// A list tells of it first, without a time; the kill is read before its time is known.
#[tokio::test]
async fn what_was_read_before_its_start_was_known_counts_once_it_is() {
    let mut listed = running("a", 1);
    listed.started_at = None;
    for known_at_its_end in [false, true] {
        let rig = rig_with(&listed, Some(1)).await;
        assert_eq!(oom(&rig, "a").await, 0, "it may have been before us");
        if known_at_its_end {
            rig.signal("a", Signal::Exited);
            rig.upsert(&killed(&running("a", 1))).await;
            assert_eq!(rig.exits().await, named(&[("oom", 1)]));
        } else {
            rig.upsert(&running("a", 1)).await;
        }
        assert_eq!(oom(&rig, "a").await, 1, "known at its end: {known_at_its_end}");
        assert_eq!(oom(&rig, "a").await, 1);
    }
    // That it was made under our eyes is enough.
    listed.created_at = running("a", 1).started_at;
    let rig = rig_with(&listed, Some(1)).await;
    assert_eq!(oom(&rig, "a").await, 1);
}

#[tokio::test]
async fn counts_are_kept_over_restarts() {
    let rig = rig_with(&running("a", 1), Some(2)).await;
    rig.signal("a", Signal::Exited);
    rig.upsert(&killed(&running("a", 1))).await;
    rig.set("a", |numbers| numbers.oom_kills = Some(0));
    rig.start(&running("a", 2)).await;
    assert_eq!(oom(&rig, "a").await, 2);
    rig.set("a", |numbers| numbers.oom_kills = Some(1));
    assert_eq!(oom(&rig, "a").await, 3);
}

#[tokio::test]
async fn the_engines_word_counts_where_the_kernels_was_missed() {
    // Missed, whatever the engine says how often, before or after the end.
    let rig = rig_with(&running("a", 1), Some(0)).await;
    for _ in 0..20 {
        rig.tell(Change::OomHint(ContainerId::new("a"))).await;
    }
    assert_eq!(oom(&rig, "a").await, 0, "it may yet be read");
    rig.upsert(&killed(&running("a", 1))).await;
    rig.tell(Change::OomHint(ContainerId::new("a"))).await;
    rig.upsert(&killed(&running("a", 1))).await;
    assert_eq!(oom(&rig, "a").await, 1);
    assert_eq!(rig.exits().await, named(&[("oom", 1)]));

    // Only the state tells, at the end or late.
    for late in [false, true] {
        let rig = rig_with(&running("a", 1), Some(0)).await;
        if late {
            rig.upsert(&ended(&running("a", 1), 137)).await;
            assert_eq!(oom(&rig, "a").await, 0);
        }
        rig.upsert(&killed(&running("a", 1))).await;
        assert_eq!(oom(&rig, "a").await, 1, "late: {late}");
    }

    // Only a hint tells, of one that is removed at once.
    let rig = rig_with(&running("a", 1), Some(0)).await;
    rig.tell(Change::OomHint(ContainerId::new("a"))).await;
    rig.tell(Change::Gone(ContainerId::new("a"))).await;
    assert_eq!(rig.host(ids::HOST_OOM_KILLS).await, 1);
}

#[tokio::test]
async fn the_kernels_word_stands_where_it_was_read() {
    // One kill, in the last sample and in the engine's words.
    let rig = rig_with(&running("a", 1), Some(0)).await;
    rig.set("a", |numbers| numbers.oom_kills = Some(1));
    rig.signal("a", Signal::Exited);
    rig.tell(Change::OomHint(ContainerId::new("a"))).await;
    rig.upsert(&killed(&running("a", 1))).await;
    assert_eq!(oom(&rig, "a").await, 1);
    // One kill seen by a collection; the last sample is missed.
    let rig = rig_with(&running("a", 1), Some(1)).await;
    rig.upsert(&killed(&running("a", 1))).await;
    assert_eq!(oom(&rig, "a").await, 1);
    // The kernel says none.
    let rig = rig_with(&running("a", 1), Some(0)).await;
    rig.signal("a", Signal::Exited);
    rig.upsert(&killed(&running("a", 1))).await;
    assert_eq!(oom(&rig, "a").await, 0);
}

/// On v1 the memory cgroup may go between the two reads of the last sample.
#[tokio::test]
async fn a_last_sample_without_the_count_of_kills_is_a_missed_one() {
    let rig = rig_with(&running("a", 1), Some(0)).await;
    rig.set("a", |numbers| (numbers.cpu_seconds, numbers.memory_gone) = (7.0, true));
    rig.signal("a", Signal::Exited);
    rig.upsert(&killed(&running("a", 1))).await;
    assert_eq!(oom(&rig, "a").await, 1, "the engine's word");
    let snapshot = rig.snapshot().await;
    assert_eq!(snapshot.exporter.get(ids::FINAL_SAMPLES_MISSED), Reading::int(1));
    assert_eq!(rig.host(ids::HOST_CPU_USAGE).await, 7_000_000_000, "what was read counts");
}

/// Kernels without a count leave the engine's word, although a last sample was taken.
#[tokio::test]
async fn without_a_kernel_count_the_engines_word_counts() {
    let rig = rig_with(&running("a", 1), None).await;
    rig.tell(Change::OomHint(ContainerId::new("a"))).await;
    rig.signal("a", Signal::Exited);
    rig.upsert(&killed(&running("a", 1))).await;
    assert_eq!(oom(&rig, "a").await, 1);
    // But not before the end, when the kernel's may still come.
    let rig = rig_with(&running("a", 1), None).await;
    rig.tell(Change::OomHint(ContainerId::new("a"))).await;
    assert_eq!(oom(&rig, "a").await, 0);
    rig.set("a", |numbers| numbers.oom_kills = Some(1));
    rig.signal("a", Signal::Exited);
    assert_eq!(oom(&rig, "a").await, 1);
}

#[tokio::test]
async fn the_last_sample_is_taken_at_the_signal() {
    let rig = Rig::new();
    rig.start(&running("a", 1)).await;
    rig.set("a", |numbers| numbers.cpu_seconds = 7.0);
    rig.signal("a", Signal::Exited);
    rig.set("a", |numbers| numbers.gone = true);
    assert_eq!(rig.host(ids::HOST_CPU_USAGE).await, 7_000_000_000, "no later sample brought it");
    rig.upsert(&ended(&running("a", 1), 0)).await;
    assert_eq!(rig.own(ids::FINAL_SAMPLES_MISSED).await, 0);
    // Another run is another matter.
    rig.set("a", |numbers| numbers.gone = false);
    rig.start(&running("a", 2)).await;
    rig.upsert(&ended(&running("a", 2), 0)).await;
    assert_eq!(rig.own(ids::FINAL_SAMPLES_MISSED).await, 1);
}

/// A signal that comes when everything is gone takes no sample, and a late one touches no other run.
#[tokio::test]
async fn a_signal_too_late_misses_it() {
    let rig = Rig::new();
    rig.start(&running("a", 1)).await;
    rig.set("a", |numbers| numbers.gone = true);
    rig.signal("a", Signal::Exited);
    rig.upsert(&ended(&running("a", 1), 0)).await;
    assert_eq!(rig.own(ids::FINAL_SAMPLES_MISSED).await, 1);
    let of_the_first = lock(&rig.kernel.seen).signals[&ContainerId::new("a")].clone();
    rig.set("a", |numbers| numbers.gone = false);
    rig.start(&running("a", 2)).await;
    of_the_first(Signal::Exited);
    assert!(rig.of("a", ids::CPU_USAGE).await.value().is_some(), "the second run goes on");
}

#[tokio::test]
async fn the_hosts_cpu_time_includes_the_gone() {
    let rig = Rig::new();
    rig.set("a", |numbers| numbers.cpu_seconds = 2.0);
    rig.set("b", |numbers| numbers.cpu_seconds = 100.0);
    rig.start(&running("a", 1)).await;
    rig.start(&running_before("b")).await;
    assert_eq!(rig.host(ids::HOST_CPU_USAGE).await, 2_000_000_000, "what b used before us is not ours");
    rig.set("a", |numbers| numbers.cpu_seconds = 3.0);
    rig.set("b", |numbers| numbers.cpu_seconds = 101.0);
    assert_eq!(rig.host(ids::HOST_CPU_USAGE).await, 4_000_000_000);
    rig.tell(Change::Gone(ContainerId::new("a"))).await;
    assert_eq!(rig.host(ids::HOST_CPU_USAGE).await, 4_000_000_000);
    // A restart's counter begins at 0 again.
    rig.set("b", |numbers| numbers.cpu_seconds = 0.5);
    rig.start(&running("b", 2)).await;
    assert_eq!(rig.host(ids::HOST_CPU_USAGE).await, 4_500_000_000);
    // Asking for the host alone reads what it counts.
    rig.set("b", |numbers| numbers.cpu_seconds = 1.0);
    let host = rig.collect(Groups::NONE.with(Group::Host)).await;
    assert_eq!(host.host.get(ids::HOST_CPU_USAGE), Reading::Value(Value::Nanos(5_000_000_000)));
}

/// A unit around containers uses what they use: added up, that would count twice.
#[tokio::test]
async fn a_unit_is_no_container_to_whoever_counts_those() {
    let rig = Rig::new();
    let unit = |n| Container { unit: Some("a.service".into()), ..running("a", n) };
    rig.set("a", |numbers| (numbers.cpu_seconds, numbers.oom_kills) = (2.0, Some(3)));
    rig.set("b", |numbers| (numbers.cpu_seconds, numbers.oom_kills) = (1.0, Some(1)));
    rig.start(&unit(1)).await;
    rig.start(&running("b", 1)).await;
    let snapshot = rig.snapshot().await;
    assert_eq!(nonzero(&snapshot.host, ids::CONTAINER_COUNT), named(&[("running", 1)]));
    assert_eq!(snapshot.host.get(ids::HOST_CPU_USAGE), Reading::Value(Value::Nanos(1_000_000_000)));
    assert_eq!(snapshot.host.get(ids::HOST_OOM_KILLS), Reading::int(1));
    // It has all of its own.
    let sample = &shown(&snapshot, "a").sample;
    assert_eq!(sample.get(ids::CPU_USAGE), Reading::Value(Value::Nanos(2_000_000_000)));
    assert_eq!(sample.get(ids::OOM_EVENTS), Reading::int(3));
    rig.tell(Change::Gone(ContainerId::new("a"))).await;
    assert_eq!(rig.exits().await, []);
    rig.tell(Change::Gone(ContainerId::new("b"))).await;
    assert_eq!(rig.exits().await, named(&[("unknown", 1)]));
}

/// One that the engine told to have ended before an inspect could tell that it ran.
#[tokio::test]
async fn a_run_that_passed_between_two_descriptions_counts() {
    let rig = Rig::new();
    rig.upsert(&container("a", State::Created)).await;
    rig.tell(Change::OomHint(ContainerId::new("a"))).await;
    assert_eq!(oom(&rig, "a").await, 0, "it may yet be read");
    rig.upsert(&ended(&running("a", 1), 137)).await;
    rig.upsert(&ended(&running("a", 1), 137)).await;
    assert_eq!(oom(&rig, "a").await, 1);
    assert_eq!(rig.exits().await, named(&[("oom", 1)]));
    assert_eq!(rig.own(ids::FINAL_SAMPLES_MISSED).await, 1);
    // A moment as an inspect has it does not make it another run; one that began after the end does.
    let mut inspected = ended(&running("a", 1), 137);
    inspected.started_at = inspected.started_at.map(|at| at - Duration::from_millis(3));
    rig.upsert(&inspected).await;
    // Nor does the event of a start that is dated after the end.
    inspected.started_at = inspected.finished_at.map(|at| at + Duration::from_millis(20));
    inspected.finished_at = inspected.finished_at.map(|at| at + Duration::from_millis(30));
    rig.upsert(&inspected).await;
    let restarts = async || rig.of("a", ids::RESTARTS).await;
    assert_eq!(restarts().await, Reading::int(0));
    rig.upsert(&ended(&running("a", 9), 2)).await;
    assert_eq!(rig.exits().await, named(&[("error", 1), ("oom", 1)]));
    assert_eq!(restarts().await, Reading::int(1));
}

/// A hint is told at once, a start only with what an inspect says: the kernel's count of that run contains the hint's kill.
#[tokio::test]
async fn a_hint_that_overtakes_the_start_counts_once() {
    let rig = Rig::new();
    rig.upsert(&container("a", State::Created)).await;
    rig.tell(Change::OomHint(ContainerId::new("a"))).await;
    rig.set("a", |numbers| numbers.oom_kills = Some(1));
    rig.start(&running("a", 1)).await;
    rig.signal("a", Signal::Exited);
    rig.upsert(&ended(&running("a", 1), 137)).await;
    assert_eq!(oom(&rig, "a").await, 1);
    assert_eq!(rig.exits().await, named(&[("oom", 1)]));
}

/// The event of a start and an inspect have two moments of it.
#[tokio::test]
async fn a_start_that_is_told_more_exactly_is_no_other_run() {
    let rig = Rig::new();
    let mut run = running("a", 1);
    rig.start(&run).await;
    let restarts = async || rig.of("a", ids::RESTARTS).await;
    run.started_at = run.started_at.map(|at| at - Duration::from_millis(40));
    rig.upsert(&run).await;
    run.pid = Some(7);
    rig.upsert(&run).await;
    assert_eq!((restarts().await, rig.exits().await), (Reading::int(0), Vec::new()));
    // Another process is another run, however soon.
    run.started_at = run.started_at.map(|at| at + Duration::from_millis(80));
    run.pid = Some(8);
    rig.start(&run).await;
    assert_eq!((restarts().await, rig.exits().await), (Reading::int(1), named(&[("unknown", 1)])));
}

#[tokio::test]
async fn a_kill_that_only_the_parent_still_has_counts_where_it_can_be_no_others() {
    let around = |rig: &Rig, around, gone| {
        rig.set("a", |numbers| (numbers.around, numbers.gone) = (Some(around), gone));
    };
    // (the parent's count at the end, whether the memory events changed, kills that count)
    for (at_end, has_event, expected) in [(8, true, 1), (7, true, 0), (8, false, 0)] {
        let rig = Rig::new();
        rig.set("a", |numbers| (numbers.oom_kills, numbers.around) = (Some(0), Some(7)));
        rig.start(&running("a", 1)).await;
        if has_event {
            // Read in time, and before the kill.
            rig.signal("a", Signal::MemoryEvent);
        }
        around(&rig, at_end, true);
        rig.signal("a", Signal::Exited);
        rig.upsert(&ended(&running("a", 1), 137)).await;
        assert_eq!(oom(&rig, "a").await, expected, "{at_end} {has_event}");
        let outcome = if expected == 1 { "oom" } else { "signal" };
        assert_eq!(rig.exits().await, named(&[(outcome, 1)]));
    }

    // The kill was another's, who is known to have had it: a container, or a unit.
    for unit in [None, Some("b.service".into())] {
        let kills = u64::from(unit.is_none());
        let rig = Rig::new();
        rig.set("a", |numbers| (numbers.oom_kills, numbers.around) = (Some(0), Some(7)));
        rig.set("b", |numbers| (numbers.oom_kills, numbers.around) = (Some(0), Some(7)));
        rig.start(&running("a", 1)).await;
        rig.start(&Container { unit, ..running("b", 2) }).await;
        rig.signal("a", Signal::MemoryEvent);
        rig.set("b", |numbers| numbers.oom_kills = Some(1));
        rig.signal("b", Signal::MemoryEvent);
        around(&rig, 8, true);
        rig.signal("a", Signal::Exited);
        rig.upsert(&ended(&running("a", 1), 137)).await;
        let snapshot = rig.snapshot().await;
        assert_eq!(snapshot.host.get(ids::HOST_OOM_KILLS), Reading::int(kills));
        assert_eq!(shown(&snapshot, "a").sample.get(ids::OOM_EVENTS), Reading::int(0));
    }
}

/// A list says by the second when a container was made, and the run may be over before anybody says more.
#[tokio::test]
async fn what_was_not_listed_at_first_began_under_our_eyes() {
    let rig = Rig::new();
    rig.tell(Change::Listed(Vec::new())).await;
    rig.set("a", |numbers| numbers.oom_kills = Some(1));
    let mut listed = container("a", State::Running);
    listed.created_at = running_before("a").started_at;
    rig.start(&listed).await;
    assert_eq!(rig.host(ids::HOST_OOM_KILLS).await, 1);
    // With another selection what was excluded comes up, however long it has run.
    rig.collector.set_selection(crate::select::Selection::default());
    let mut older = container("b", State::Running);
    older.created_at = listed.created_at;
    rig.set("b", |numbers| numbers.oom_kills = Some(1));
    rig.start(&older).await;
    assert_eq!(rig.host(ids::HOST_OOM_KILLS).await, 1);
    rig.tell(Change::Listed(vec![listed.clone(), older.clone()])).await;
    older.id = ContainerId::new("c");
    rig.set("c", |numbers| numbers.oom_kills = Some(1));
    rig.start(&older).await;
    assert_eq!(rig.host(ids::HOST_OOM_KILLS).await, 2);
}

/// What is counted since a container was opened goes on where it is opened again, in the same run and in the next.
#[tokio::test]
async fn sums_go_on_where_a_container_is_opened_again() {
    let rig = Rig::new();
    rig.start(&running("a", 1)).await;
    let told = async |waited: u64| {
        rig.set("a", |numbers| numbers.waited = Some(waited));
        let first = rig.of("a", ids::CPU_SCHEDSTAT_RUNQUEUE).await;
        assert_eq!(rig.of("a", ids::CPU_SCHEDSTAT_RUNQUEUE).await, first, "what is told twice counts once");
        match first {
            Reading::Value(Value::Nanos(sum)) => sum,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(told(0).await, 0);
    assert_eq!(told(5).await, 5);
    let opens = rig.opens("a");
    rig.set("a", |numbers| numbers.gone = true);
    assert_eq!(rig.of("a", ids::CPU_SCHEDSTAT_RUNQUEUE).await, Reading::Absent(Absence::NotRunning));
    rig.set("a", |numbers| numbers.gone = false);
    rig.pass_time(Duration::from_secs(6));
    assert_eq!(told(7).await, 12, "opened again, it begins at 0");
    assert_eq!(rig.opens("a"), opens + 1);
    rig.upsert(&ended(&running("a", 1), 0)).await;
    rig.start(&running("a", 2)).await;
    assert_eq!(told(3).await, 15);
}
