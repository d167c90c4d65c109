//! Runs: what restarts, what ends, and what merely is told again.

use super::*;

async fn restarts(rig: &Rig, id: &str) -> u64 {
    rig.of(id, ids::RESTARTS).await.as_u64().unwrap()
}

fn with_count(mut container: Container, restart_count: u64) -> Container {
    container.restart_count = Some(restart_count);
    container
}

#[tokio::test]
async fn restarts_by_policy_and_by_hand_count() {
    let rig = Rig::new();
    rig.start(&running("a", 1)).await;
    assert_eq!(restarts(&rig, "a").await, 0);
    // By policy: the engine raises its count while the container waits.
    let mut waiting = with_count(ended(&running("a", 1), 1), 1);
    waiting.state = State::Restarting;
    rig.upsert(&waiting).await;
    rig.start(&with_count(running("a", 2), 1)).await;
    assert_eq!(restarts(&rig, "a").await, 1);
    // By hand, which sets the engine's count back; and stopped for a while before.
    rig.upsert(&with_count(ended(&running("a", 2), 0), 1)).await;
    assert_eq!(restarts(&rig, "a").await, 1, "a stop is none");
    rig.start(&running("a", 3)).await;
    assert_eq!(restarts(&rig, "a").await, 2);
    // Its end was not told.
    rig.start(&running("a", 4)).await;
    assert_eq!(restarts(&rig, "a").await, 3);
    // Two by policy, of which the first was not told.
    rig.start(&with_count(running("a", 5), 2)).await;
    assert_eq!(restarts(&rig, "a").await, 5);
    // Of two, the end of the first was told, with the engine's count already raised.
    let mut waiting = with_count(ended(&running("a", 5), 1), 3);
    waiting.state = State::Restarting;
    rig.upsert(&waiting).await;
    rig.start(&with_count(running("a", 6), 4)).await;
    assert_eq!(restarts(&rig, "a").await, 7);
    assert_eq!(rig.opens("a"), 6, "each run is opened once");
}

#[tokio::test]
async fn a_first_start_is_no_restart() {
    let rig = Rig::new();
    rig.upsert(&container("a", State::Created)).await;
    rig.start(&running("a", 1)).await;
    assert_eq!(restarts(&rig, "a").await, 0);
    // One first seen stopped had a run.
    rig.upsert(&ended(&running("b", 1), 0)).await;
    rig.start(&running("b", 2)).await;
    assert_eq!(restarts(&rig, "b").await, 1);
}

#[tokio::test]
async fn what_is_told_again_changes_nothing() {
    let rig = Rig::new();
    let run = running_before("a");
    rig.start(&run).await;
    let mut short = run.clone();
    short.pid = None;
    rig.tell(Change::Listed(vec![short])).await;
    let mut paused = run.clone();
    paused.state = State::Paused;
    rig.upsert(&paused).await;
    rig.upsert(&run).await;
    assert_eq!(restarts(&rig, "a").await, 0);
    assert_eq!(rig.exits().await, []);
    assert_eq!(rig.own(ids::FINAL_SAMPLES_MISSED).await, 0);
    assert_eq!(rig.opens("a"), 1);
}

#[tokio::test]
async fn a_short_description_keeps_the_pid() {
    let rig = Rig::new();
    let mut run = running("a", 1);
    run.pid = Some(42);
    rig.start(&run).await;
    run.pid = None;
    rig.tell(Change::Listed(vec![run.clone()])).await;
    assert_eq!(rig.collector.known()[0].pid, Some(42));
    rig.upsert(&ended(&run, 0)).await;
    assert_eq!(rig.collector.known()[0].pid, None);
}

#[tokio::test]
async fn ends_count_once_by_outcome() {
    let rig = Rig::new();
    for (id, code, oom) in
        [("a", 0, false), ("b", 2, false), ("c", 143, false), ("d", 137, true), ("e", 137, false)]
    {
        rig.start(&running(id, 1)).await;
        let mut end = ended(&running(id, 1), code);
        end.oom_killed = oom;
        rig.upsert(&end).await;
        rig.upsert(&end).await;
        rig.tell(Change::Gone(ContainerId::new(id))).await;
    }
    // Removed by force: only that it is gone is known.
    rig.start(&running("f", 1)).await;
    rig.tell(Change::Gone(ContainerId::new("f"))).await;
    // Missing from a list.
    rig.start(&running("g", 1)).await;
    rig.tell(Change::Listed(vec![])).await;
    // It had ended before anybody watched.
    rig.upsert(&ended(&running_before("h"), 1)).await;
    rig.tell(Change::Gone(ContainerId::new("h"))).await;
    let expect = named(&[("success", 1), ("error", 1), ("signal", 2), ("oom", 1), ("unknown", 2)]);
    assert_eq!(rig.exits().await, expect);
    assert_eq!(rig.snapshot().await.containers.len(), 0);
    assert_eq!(rig.kernel.probes.load(SeqCst), 0, "nothing is kept open");
}

#[tokio::test]
async fn a_quick_run_of_one_to_be_removed_counts() {
    let rig = Rig::new();
    rig.upsert(&ended(&running("a", 1), 0)).await;
    rig.tell(Change::Gone(ContainerId::new("a"))).await;
    assert_eq!(rig.exits().await, [], "its run was never seen: whether it ended now is not known");
    rig.upsert(&container("b", State::Created)).await;
    rig.start(&running("b", 1)).await;
    rig.upsert(&ended(&running("b", 1), 0)).await;
    rig.tell(Change::Gone(ContainerId::new("b"))).await;
    assert_eq!(rig.exits().await, named(&[("success", 1)]));
}

#[tokio::test]
async fn adoption_is_no_restart_and_what_is_not_adopted_has_not_ended() {
    let rig = Rig::with(Options::default(), &[("docker", false), ("kernel", true)]);
    let mut scanned = container("a", State::Running);
    scanned.started_at = Some(UNIX_EPOCH + Duration::from_secs(999));
    rig.tell_as(1, Change::Listed(vec![scanned, container("x", State::Running)])).await;
    assert_eq!(rig.collector.known().len(), 2);
    let hearing = || *lock(&rig.inventories[1].hearing);
    assert_eq!(hearing(), None, "no engine has said a word");
    rig.tell(Change::Listed(vec![running_before("a")])).await;
    assert_eq!(hearing(), Some(Hearing::Not), "it need not look any more");
    assert_eq!(restarts(&rig, "a").await, 0);
    assert!(!rig.collector.knows(&ContainerId::new("x")), "the engine does not list it");
    assert_eq!(rig.exits().await, []);
    assert_eq!(rig.own(ids::FINAL_SAMPLES_MISSED).await, 0);
    // The fallback is not heard any more.
    rig.tell_as(1, Change::Listed(vec![])).await;
    rig.tell_as(1, Change::Gone(ContainerId::new("a"))).await;
    rig.tell_as(1, Change::Upsert(Box::new(running("y", 1)))).await;
    let known: Vec<_> = rig.collector.known().iter().map(|known| known.id.to_string()).collect();
    assert_eq!(known, ["a"]);
    let sources = rig.collector.sources();
    assert_eq!((sources[0].containers, sources[1].containers), (1, 0));
    assert!(sources[1].fallback && !sources[0].fallback);
}

#[tokio::test]
async fn a_supplement_is_heard_where_no_engine_speaks() {
    let selection = crate::select::Selection::new(&[] as &[&str], &["image=secret"]).expect("rules");
    let options = Options { selection, ..Options::default() };
    let rig = Rig::with(options, &[("docker", false), ("kernel", true), ("supplement", false)]);
    let known = || rig.collector.known().iter().map(|known| known.id.to_string()).collect::<Vec<_>>();
    let scanned = |id: &str| Container::new(ContainerId::new(id), crate::Engine::Kernel, State::Running);
    // It neither mutes the fallback nor is it muted.
    rig.tell_as(2, Change::Listed(vec![scanned("/a.service"), scanned("b")])).await;
    rig.tell_as(1, Change::Listed(vec![scanned("b"), scanned("c")])).await;
    assert_eq!(known(), ["/a.service", "b", "c"]);
    assert_ne!(*lock(&rig.inventories[1].hearing), Some(Hearing::Not));
    let relists = || *rig.inventories[2].relists.borrow();
    let before = relists();
    let mut hidden = running_before("d");
    hidden.image = Some("secret".into());
    rig.tell(Change::Listed(vec![running_before("b"), hidden])).await;
    assert_eq!(known(), ["/a.service", "b"]);
    assert_eq!(relists(), before + 1, "what only the fallback knew is its to tell now");
    // The engine's container stays the engine's, and what its rules exclude stays away.
    rig.tell_as(2, Change::Listed(vec![scanned("/a.service"), scanned("b"), scanned("c"), scanned("d")]))
        .await;
    assert_eq!(known(), ["/a.service", "b", "c"]);
    let sources = rig.collector.sources();
    assert_eq!([0, 1, 2].map(|source: usize| sources[source].containers), [1, 0, 2]);
    // It lets go of its own only; the engine's list of nothing does not touch them.
    rig.tell(Change::Listed(vec![])).await;
    assert_eq!(known(), ["/a.service", "c"]);
    rig.tell_as(2, Change::Listed(vec![scanned("c")])).await;
    assert_eq!(known(), ["c"]);
}

#[tokio::test]
async fn a_container_whose_process_is_named_later_is_opened_again() {
    let rig = Rig::new();
    let listed = running("a", 1);
    let mut named = listed.clone();
    named.pid = Some(42);
    rig.start(&listed).await;
    rig.snapshot().await;
    assert_eq!(rig.opens("a"), 1, "an engine that is slow has said no more yet");
    rig.start(&named).await;
    assert_eq!(rig.opens("a"), 2, "at once, not with the next scrape");
    // A list says less again.
    rig.upsert(&listed).await;
    rig.snapshot().await;
    assert_eq!(rig.opens("a"), 2, "nothing is new");
    assert_eq!(rig.exits().await, []);
}

#[tokio::test]
async fn a_start_that_was_dated_too_late_is_the_same_one() {
    let rig = Rig::new();
    let run = running("a", 1);
    let mut by_event = run.clone();
    by_event.started_at = run.started_at.map(|at| at + Duration::from_secs(3));
    rig.start(&by_event).await;
    rig.upsert(&run).await;
    assert_eq!(rig.exits().await, []);
    assert_eq!(restarts(&rig, "a").await, 0);
}
