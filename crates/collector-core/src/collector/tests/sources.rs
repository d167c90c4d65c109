//! Several inventories, their state, and what the cgroup tree says behind their backs.

use super::*;
use crate::{EngineInfo, SourceStatus};

#[tokio::test]
async fn an_inventory_that_ends_is_down_and_others_go_on() {
    let rig = Rig::with(Options::default(), &[("docker", false), ("podman", false)]);
    let info = EngineInfo { engine: "docker".into(), version: "29.1".into(), ..EngineInfo::default() };
    for source in [0, 1] {
        rig.tell_as(source, Change::Status(SourceStatus::Up(info.clone()))).await;
    }
    rig.tell(Change::Listed(vec![running("a", 1)])).await;
    let up = |snapshot: &Snapshot| nonzero(&snapshot.exporter, ids::SOURCE_UP);
    let snapshot = rig.snapshot().await;
    assert_eq!(up(&snapshot), named(&[("docker", 1), ("podman", 1)]));
    let engines = nonzero(&snapshot.exporter, ids::ENGINE_INFO);
    assert_eq!(engines.len(), 2);
    assert!(engines[0].0.starts_with("docker docker 29.1"), "{engines:?}");

    rig.inventories[0].end.notify_one();
    let is_down =
        |collector: &Collector| matches!(collector.sources()[0].status, Some(SourceStatus::Down(_)));
    rig.collector.wait_until(is_down).await;
    rig.tell_as(1, Change::Listed(vec![running("b", 1)])).await;
    let snapshot = rig.snapshot().await;
    assert_eq!(up(&snapshot), named(&[("podman", 1)]));
    assert_eq!(snapshot.containers.len(), 2, "what it told of is still read");
    assert_eq!(nonzero(&snapshot.exporter, ids::SOURCE_CONTAINERS), named(&[("docker", 1), ("podman", 1)]));
}

/// A list speaks of its own engine's containers only.
#[tokio::test]
async fn lists_do_not_touch_another_engines_containers() {
    let rig = Rig::with(Options::default(), &[("docker", false), ("podman", false)]);
    rig.tell_as(0, Change::Listed(vec![running("a", 1)])).await;
    rig.tell_as(1, Change::Listed(vec![running("b", 1)])).await;
    rig.tell_as(1, Change::Gone(ContainerId::new("a"))).await;
    rig.tell_as(1, Change::Listed(vec![])).await;
    let known: Vec<_> = rig.collector.known().iter().map(|known| known.id.to_string()).collect();
    assert_eq!(known, ["a"]);
}

fn appeared(id: &str) -> TreeChange {
    TreeChange::Appeared(ContainerId::new(id))
}

fn vanished(id: &str) -> TreeChange {
    TreeChange::Vanished(ContainerId::new(id))
}

/// How often the inventory was asked to list after that, once all is quiet. The clock is held, so this takes no time.
async fn relists(rig: &Rig, changes: impl IntoIterator<Item = TreeChange>) -> u64 {
    let before = *rig.inventories[0].relists.borrow();
    for change in changes {
        rig.tree(change);
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    *rig.inventories[0].relists.borrow() - before
}

#[tokio::test(start_paused = true)]
async fn the_tree_asks_for_one_list_of_what_is_not_known() {
    let selection = crate::select::Selection::new(&[] as &[&str], &["name=secret"]).unwrap();
    let rig = Rig::with(Options { selection, ..Options::default() }, &[("docker", false)]);
    let mut secret = running("s", 1);
    secret.name = Some("secret".into());
    rig.tell(Change::Listed(vec![running("a", 1), ended(&running("e", 1), 0), secret])).await;
    assert_eq!(relists(&rig, [appeared("a"), appeared("s"), vanished("e"), vanished("x")]).await, 0, "known");
    assert_eq!(relists(&rig, [appeared("x"), appeared("y"), vanished("a")]).await, 1, "at once");
    assert_eq!(relists(&rig, [appeared("e")]).await, 1, "it was stopped");
    assert_eq!(relists(&rig, [TreeChange::Overflow, TreeChange::Overflow]).await, 1);
}

/// The engine has a moment to tell by itself.
#[tokio::test(start_paused = true)]
async fn what_the_engine_tells_in_time_needs_no_list() {
    let rig = Rig::new();
    rig.tell(Change::Listed(vec![running("a", 1)])).await;
    rig.tree(appeared("x"));
    rig.tree(vanished("a"));
    rig.upsert(&running("x", 1)).await;
    rig.upsert(&ended(&running("a", 1), 0)).await;
    assert_eq!(relists(&rig, []).await, 0);
}

/// Lists that the tree asks for keep their distance.
#[tokio::test(start_paused = true)]
async fn a_busy_tree_does_not_ask_all_the_time() {
    let rig = Rig::new();
    rig.tell(Change::Listed(vec![])).await;
    let before = *rig.inventories[0].relists.borrow();
    for n in 0..40 {
        rig.tree(appeared(&format!("x{n}")));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let asked = *rig.inventories[0].relists.borrow() - before;
    assert!((4..=6).contains(&asked), "{asked} lists in ten seconds");
}

/// The last handle ends the tasks, and with them the inventories.
#[tokio::test]
async fn the_end_of_the_collector_ends_all() {
    let rig = Rig::new();
    rig.start(&running("a", 1)).await;
    let inventory = Arc::clone(&rig.inventories[0]);
    let kernel = Arc::clone(&rig.kernel);
    let other = rig.collector.clone();
    drop(rig);
    assert!(inventory.changes.borrow().is_some(), "a clone is still there");
    drop(other);
    inventory.changes.subscribe().wait_for(Option::is_none).await.unwrap();
    while kernel.probes.load(SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
}

/// Engines that are found while the collector runs are heard as the first ones are.
#[tokio::test]
async fn an_inventory_added_later_is_heard() {
    let rig = Rig::new();
    rig.tell(Change::Listed(vec![running("a", 1)])).await;
    let additions = rig.collector.additions();
    let later = Played::new("later", false);
    assert!(additions.add(later.clone()));
    assert!(!additions.add(Played::new("later", false)), "one of that name is there");
    let changes = later.changes.subscribe().wait_for(Option::is_some).await.unwrap().clone().unwrap();
    changes.send(Change::Listed(vec![running("b", 1)])).await.unwrap();
    rig.collector.wait_until(|collector| collector.knows(&ContainerId::new("b"))).await;
    assert!(rig.collector.knows(&ContainerId::new("a")), "its list speaks of its own containers only");
    let names: Vec<String> = rig.collector.sources().into_iter().map(|report| report.name).collect();
    assert_eq!(names.last().map(String::as_str), Some("later"), "{names:?}");
    drop(rig);
    additions.closed().await;
    assert!(!additions.add(Played::new("too late", false)));
}

fn down() -> Change {
    Change::Status(SourceStatus::Down("gone".into()))
}

fn up() -> Change {
    Change::Status(SourceStatus::Up(EngineInfo::default()))
}

/// What a scan finds: the id and nothing else.
fn scanned(id: &str) -> Container {
    Container::new(ContainerId::new(id), crate::Engine::Kernel, State::Running)
}

#[tokio::test]
async fn a_fallback_shows_what_no_engine_that_answers_shows() {
    let rig = Rig::with(Options::default(), &[("docker", false), ("podman", false), ("kernel", true)]);
    let hearing = || *lock(&rig.inventories[2].hearing);
    let known = || {
        let of = |known: &Arc<Container>| format!("{} {}", known.id, known.engine.as_str());
        rig.collector.known().iter().map(of).collect::<Vec<_>>()
    };
    // Docker is down, Podman answers.
    rig.tell_as(0, down()).await;
    assert_eq!(hearing(), None, "Podman may answer yet");
    rig.tell_as(2, Change::Listed(vec![scanned("d"), scanned("p")])).await;
    rig.tell_as(1, up()).await;
    rig.tell_as(1, Change::Listed(vec![running("p", 1)])).await;
    assert_eq!(hearing(), Some(Hearing::Beside));
    assert_eq!(known(), ["d kernel", "p docker"], "each once, Podman's by its word");
    // The scan goes on: it says nothing new of what Podman told, and of what is Docker's it is heard.
    rig.tell_as(2, Change::Listed(vec![scanned("d"), scanned("d2"), scanned("p")])).await;
    assert_eq!(known(), ["d kernel", "d2 kernel", "p docker"]);
    rig.tell_as(2, Change::Listed(vec![scanned("d2"), scanned("p")])).await;
    assert_eq!(known(), ["d2 kernel", "p docker"], "one that the scan alone knew has ended");
    rig.tell_as(1, Change::Listed(vec![])).await;
    assert_eq!(known(), ["d2 kernel"], "Podman's list speaks of its own");
    // Docker is back: what it lists is its own, and what nobody lists is forgotten.
    rig.tell_as(2, Change::Listed(vec![scanned("d2"), scanned("x")])).await;
    rig.tell_as(0, up()).await;
    assert_eq!(known(), ["d2 kernel", "x kernel"], "it has not listed yet");
    rig.tell_as(0, Change::Listed(vec![running("d2", 1)])).await;
    assert_eq!((hearing(), known()), (Some(Hearing::Not), vec!["d2 docker".to_owned()]));
    rig.tell_as(2, Change::Listed(vec![scanned("x")])).await;
    assert_eq!(known(), ["d2 docker"], "nobody listens");
    // It is lost: what it told of stays, and the scan tells of others.
    rig.tell_as(0, down()).await;
    assert_eq!(hearing(), Some(Hearing::Beside));
    rig.tell_as(2, Change::Listed(vec![scanned("d2"), scanned("x")])).await;
    assert_eq!(known(), ["d2 docker", "x kernel"]);
    rig.tell_as(1, down()).await;
    assert_eq!(hearing(), Some(Hearing::Alone));
}

#[tokio::test]
async fn an_engine_that_nobody_misses_does_not_wake_the_fallback() {
    let rig = Rig::with(Options::default(), &[("docker", false), ("podman", false), ("kernel", true)]);
    rig.inventories[1].dormant.store(true, SeqCst);
    rig.tell_as(0, up()).await;
    rig.tell_as(0, Change::Listed(vec![])).await;
    assert_eq!(*lock(&rig.inventories[2].hearing), Some(Hearing::Not));
    // Its socket comes, and it is lost before it lists.
    rig.inventories[1].dormant.store(false, SeqCst);
    rig.tell_as(1, down()).await;
    assert_eq!(*lock(&rig.inventories[2].hearing), Some(Hearing::Beside));
}

/// A container that only the scan knows may be an engine's whose event was lost.
#[tokio::test(start_paused = true)]
async fn beside_an_engine_the_word_of_a_fallback_is_not_enough() {
    let rig = Rig::with(Options::default(), &[("docker", false), ("kernel", true), ("podman", false)]);
    rig.tell_as(2, down()).await;
    rig.tell_as(1, Change::Listed(vec![scanned("a")])).await;
    assert_eq!(relists(&rig, [appeared("a")]).await, 0, "there is nobody who knows more");
    rig.tell_as(0, Change::Listed(vec![running("b", 1)])).await;
    rig.tell_as(1, Change::Listed(vec![scanned("a"), scanned("b")])).await;
    assert_eq!(relists(&rig, [appeared("b")]).await, 0);
    assert_eq!(relists(&rig, [appeared("a")]).await, 1);
}

#[tokio::test]
async fn a_fallback_is_told_when_no_engine_is_there() {
    let rig = Rig::with(Options::default(), &[("docker", false), ("podman", false), ("kernel", true)]);
    let hearing = || *lock(&rig.inventories[2].hearing);
    for (engine, said, expect) in [
        (0, down(), None),
        (1, up(), None),
        (1, down(), Some(Hearing::Alone)),
        (1, up(), Some(Hearing::Alone)),
    ] {
        rig.tell_as(engine, said).await;
        assert_eq!(hearing(), expect);
    }
}
