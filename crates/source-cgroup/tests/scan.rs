//! What the inventory tells of trees of files that look like a machine's cgroups.
#![cfg(target_os = "linux")]

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cgroup_reader::{Roots, ScanLimits};
use collector_core::{Change, Changes, Container, Engine, Hearing, Inventory, Network, SourceStatus, State};
use source_cgroup::{Options, ScanInventory};
use test_support::{BOOT, Cgroups, Tree};
use tokio::sync::mpsc::Receiver;

fn id(digits: &str) -> String {
    digits.repeat(64 / digits.len())
}

/// What is asked of a machine here.
trait Inventories {
    fn inventory(&self) -> Arc<ScanInventory> {
        self.with(|_| {})
    }

    /// An hour between scans: whatever happens sooner was asked for.
    fn with(&self, set: impl FnOnce(&mut Options)) -> Arc<ScanInventory>;

    fn paths(&self) -> Vec<String> {
        let list = self.inventory().containers().unwrap();
        let mut paths: Vec<_> =
            list.iter().map(|container| container.cgroup.as_deref().unwrap().to_owned()).collect();
        paths.sort();
        paths
    }
}

impl Inventories for Tree {
    fn with(&self, set: impl FnOnce(&mut Options)) -> Arc<ScanInventory> {
        let mut options = Options::default();
        options.interval = Duration::from_secs(3600);
        set(&mut options);
        Arc::new(ScanInventory::new(Roots::under(self.root()), options))
    }
}

fn after_boot(seconds: u64) -> Option<SystemTime> {
    Some(UNIX_EPOCH + Duration::from_secs(BOOT + seconds))
}

/// The next change within reason.
async fn next(heard: &mut Receiver<(usize, Change)>) -> Change {
    tokio::time::timeout(Duration::from_secs(20), heard.recv()).await.expect("no change").expect("it ended").1
}

async fn listed(heard: &mut Receiver<(usize, Change)>) -> Vec<Container> {
    match next(heard).await {
        Change::Listed(list) => list,
        other => panic!("{other:?} instead of a list"),
    }
}

async fn up(heard: &mut Receiver<(usize, Change)>) {
    let change = next(heard).await;
    assert!(matches!(change, Change::Status(SourceStatus::Up(_))), "{change:?}");
}

#[tokio::test]
async fn what_is_told_of_a_container_in_each_layout() {
    for (layout, version) in Cgroups::ALL.into_iter().zip(["cgroup v1", "cgroup hybrid", "cgroup v2"]) {
        let tree = Tree::machine(layout);
        let path = format!("/docker/{}", id("a1"));
        tree.cgroup(&path, &[70, 71]);
        tree.process(70, 5_000.0);
        tree.process(71, 4_000.0);
        let inventory = tree.inventory();
        assert!(inventory.is_fallback());
        let (changes, mut heard) = Changes::channel(8);
        tokio::spawn(Arc::clone(&inventory).run(changes));
        let Change::Status(SourceStatus::Up(info)) = next(&mut heard).await else { panic!("not up") };
        assert_eq!((info.engine.as_str(), info.version.as_str()), ("kernel", "6.1.0-test"));
        assert_eq!(info.api_version, version);
        let list = listed(&mut heard).await;
        assert_eq!(list.len(), 1, "{layout:?}");
        let container = &list[0];
        assert_eq!(container.id.as_str(), id("a1"));
        assert_eq!((container.engine, container.state), (Engine::Kernel, State::Running));
        assert_eq!(container.cgroup.as_deref(), Some(path.as_str()));
        assert_eq!(container.started_at, after_boot(4_000));
        assert_eq!(container.pid, Some(71));
        assert_eq!((&container.name, &container.network), (&None, &Network::Unknown));
        assert_eq!(inventory.counters().lists, 1);
    }
}

#[test]
fn who_counts_as_a_container() {
    for layout in Cgroups::ALL {
        let tree = Tree::machine(layout);
        let uid = "0a1b2c3d_1111_2222_3333_444455556666";
        let [docker, podman, pod, crio, empty, systemd] = [
            format!("/system.slice/docker-{}.scope", id("1")),
            format!("/machine.slice/libpod-{}.scope", id("2")),
            format!("/kubepods.slice/kubepods-pod{uid}.slice/cri-containerd-{}.scope", id("3")),
            format!("/kubepods.slice/kubepods-pod{uid}.slice/crio-{}.scope", id("4")),
            format!("/docker/{}", id("5")),
            format!("/docker/{}", id("6")),
        ];
        for path in [&docker, &pod, &crio] {
            tree.cgroup(path, &[10]);
        }
        // crun's and systemd's processes sit below.
        tree.cgroup(&podman, &[]);
        tree.cgroup(&format!("{podman}/container"), &[10]);
        tree.cgroup(&format!("{systemd}/system.slice/ssh.service"), &[10]);
        // A leftover, monitors, and a service.
        tree.cgroup(&empty, &[]);
        tree.cgroup(&format!("/machine.slice/libpod-conmon-{}.scope", id("2")), &[10]);
        tree.cgroup(&format!("/kubepods.slice/crio-conmon-{}.scope", id("4")), &[10]);
        tree.cgroup("/system.slice/docker.service", &[10]);
        tree.process(10, 10.0);
        let mut expect = vec![docker, podman, pod, crio, systemd];
        expect.sort();
        assert_eq!(tree.paths(), expect, "{layout:?}");
    }
}

#[test]
fn containers_in_containers_have_their_own_first_process() {
    let tree = Tree::machine(Cgroups::V2);
    let outer = format!("/docker/{}", id("1"));
    let inner = format!("{outer}/docker/{}", id("2"));
    tree.cgroup(&outer, &[10]);
    tree.cgroup(&inner, &[9]);
    tree.process(10, 100.0);
    tree.process(9, 50.0);
    let list = tree.inventory().containers().unwrap();
    let starts: Vec<_> = list.iter().map(|container| (container.pid, container.started_at)).collect();
    assert_eq!(starts, [(Some(10), after_boot(100)), (Some(9), after_boot(50))]);
}

#[test]
fn an_id_at_two_places_is_shown_where_it_lives() {
    let tree = Tree::machine(Cgroups::V1);
    tree.cgroup(&format!("/docker/{}", id("1")), &[]);
    tree.cgroup(&format!("/old/{}", id("1")), &[10]);
    tree.process(10, 1.0);
    assert_eq!(tree.paths(), [format!("/old/{}", id("1"))]);
}

#[test]
fn processes_that_cannot_be_seen_still_run() {
    // From another pid namespace the kernel writes 0; with hidepid, /proc has no such directory.
    for pid in [0, 4711] {
        let tree = Tree::machine(Cgroups::V2);
        tree.cgroup(&format!("/docker/{}", id("1")), &[pid]);
        let list = tree.inventory().containers().unwrap();
        assert_eq!((list.len(), list[0].pid, list[0].started_at), (1, None, None), "{pid}");
    }
    let tree = Tree::machine(Cgroups::V2);
    tree.cgroup(&format!("/docker/{}", id("1")), &[10]);
    tree.process(10, 1.0);
    tree.namespace("pid", 4_026_539_999);
    let list = tree.inventory().containers().unwrap();
    assert_eq!(list[0].pid, None, "a pid of another namespace means another process");
}

#[tokio::test]
async fn comes_goes_and_says_nothing_when_nothing_happens() {
    for layout in Cgroups::ALL {
        let tree = Tree::machine(layout);
        let (first, second) = (format!("/docker/{}", id("1")), format!("/docker/{}", id("2")));
        tree.cgroup(&first, &[10]);
        tree.process(10, 10.0);
        let inventory = tree.inventory();
        let (changes, mut heard) = Changes::channel(8);
        tokio::spawn(Arc::clone(&inventory).run(changes));
        up(&mut heard).await;
        let before = listed(&mut heard).await;
        assert_eq!(before.len(), 1);

        // Nothing new: the next list is the one with news.
        inventory.relist();
        while inventory.counters().lists < 2 {
            tokio::task::yield_now().await;
        }
        tree.cgroup(&second, &[20]);
        tree.process(20, 20.0);
        inventory.relist();
        let both = listed(&mut heard).await;
        assert_eq!((both.len(), &both[0]), (2, &before[0]));

        tree.remove_cgroup(&first);
        tree.remove("proc/10");
        inventory.relist();
        let left = listed(&mut heard).await;
        assert_eq!(left.iter().map(|container| container.id.as_str()).collect::<Vec<_>>(), [id("2")]);

        // The directory stays, as on v1, but nobody is in it.
        tree.cgroup(&second, &[]);
        tree.remove("proc/20");
        inventory.relist();
        assert_eq!(listed(&mut heard).await, []);
    }
}

#[tokio::test]
async fn runs_are_told_apart() {
    let tree = Tree::machine(Cgroups::V2);
    let path = format!("/docker/{}", id("1"));
    tree.cgroup(&path, &[10, 11]);
    tree.process(10, 1_000.0);
    tree.process(11, 2_000.0);
    let inventory = tree.inventory();
    let (changes, mut heard) = Changes::channel(8);
    tokio::spawn(Arc::clone(&inventory).run(changes));
    up(&mut heard).await;
    assert_eq!(listed(&mut heard).await[0].started_at, after_boot(1_000));

    // The oldest process has ended, but one that was there at the last look goes on: the same run.
    tree.remove("proc/10");
    tree.cgroup(&path, &[11]);
    inventory.relist();
    let same = listed(&mut heard).await;
    assert_eq!((same[0].started_at, same[0].pid), (after_boot(1_000), Some(11)));

    // In the same directory, all processes are younger than the last look: another run.
    tree.remove("proc/11");
    tree.cgroup(&path, &[12]);
    tree.process(12, 86_500.0);
    tree.uptime(86_600.0);
    inventory.relist();
    assert_eq!(listed(&mut heard).await[0].started_at, after_boot(86_500));

    // Another directory is another run, whatever the processes.
    fs::rename(tree.path(&format!("sys/fs/cgroup{path}")), tree.path("sys/fs/cgroup/kept")).unwrap();
    tree.remove("proc/12");
    tree.cgroup(&path, &[13]);
    tree.process(13, 86_550.0);
    inventory.relist();
    assert_eq!(listed(&mut heard).await[0].started_at, after_boot(86_550));
}

#[tokio::test]
async fn the_start_of_a_run_is_kept_when_the_clock_is_set() {
    let tree = Tree::machine(Cgroups::V2);
    tree.cgroup(&format!("/docker/{}", id("1")), &[10]);
    tree.process(10, 1_000.0);
    let inventory = tree.inventory();
    let (changes, mut heard) = Changes::channel(8);
    tokio::spawn(Arc::clone(&inventory).run(changes));
    up(&mut heard).await;
    listed(&mut heard).await;
    tree.write("proc/stat", format!("btime {}\n", BOOT + 3600));
    tree.cgroup(&format!("/docker/{}", id("2")), &[10]);
    inventory.relist();
    let starts: Vec<_> = listed(&mut heard).await.iter().map(|container| container.started_at).collect();
    assert_eq!(starts, [after_boot(1_000), after_boot(4_600)]);
}

#[tokio::test]
async fn a_run_is_told_once_its_first_process_has_settled() {
    let tree = Tree::machine(Cgroups::V2);
    let path = format!("/docker/{}", id("1"));
    // The runtime's helper, which is in the cgroup for a moment.
    tree.cgroup(&path, &[10]);
    tree.process(10, 86_399.95);
    let (changes, mut heard) = Changes::channel(8);
    tokio::spawn(tree.inventory().run(changes));
    up(&mut heard).await;
    assert_eq!(listed(&mut heard).await, []);
    tree.remove("proc/10");
    tree.process(11, 86_400.0);
    tree.cgroup(&path, &[11]);
    tree.uptime(86_401.0);
    // Nobody asks: it looks again by itself, long before the hour is over.
    let list = listed(&mut heard).await;
    assert_eq!((list[0].pid, list[0].started_at), (Some(11), after_boot(86_400)));
}

#[tokio::test]
async fn without_cgroups_it_says_so_and_waits_for_them() {
    let tree = Tree::machine(Cgroups::V2);
    fs::rename(tree.path("sys"), tree.path("gone")).unwrap();
    let inventory = tree.inventory();
    let (changes, mut heard) = Changes::channel(8);
    tokio::spawn(Arc::clone(&inventory).run(changes));
    let Change::Status(SourceStatus::Down(reason)) = next(&mut heard).await else { panic!("not down") };
    assert!(reason.contains("sys/fs/cgroup"), "{reason}");
    assert!(inventory.containers().is_err());
    assert_eq!(inventory.counters().request_errors, 1);

    fs::rename(tree.path("gone"), tree.path("sys")).unwrap();
    inventory.relist();
    up(&mut heard).await;
    assert_eq!(listed(&mut heard).await, []);

    // A list that became empty because the tree went is no list.
    fs::rename(tree.path("sys"), tree.path("gone")).unwrap();
    inventory.relist();
    let change = next(&mut heard).await;
    assert!(matches!(change, Change::Status(SourceStatus::Down(_))), "{change:?}");
}

#[tokio::test]
async fn scans_by_itself() {
    let tree = Tree::machine(Cgroups::V2);
    let (changes, mut heard) = Changes::channel(8);
    tokio::spawn(tree.with(|options| options.interval = Duration::from_millis(5)).run(changes));
    up(&mut heard).await;
    listed(&mut heard).await;
    tree.process(10, 1.0);
    tree.cgroup(&format!("/docker/{}", id("1")), &[10]);
    assert_eq!(listed(&mut heard).await.len(), 1);
}

#[tokio::test]
async fn bounds_hold() {
    let tree = Tree::machine(Cgroups::V2);
    tree.process(10, 1.0);
    for digit in ["1", "2", "3"] {
        tree.cgroup(&format!("/docker/{}", id(digit)), &[10]);
    }
    let inventory =
        tree.with(|options| options.limits = ScanLimits { found_max: 2, ..ScanLimits::default() });
    assert_eq!(inventory.containers().unwrap().len(), 2);
}

#[tokio::test]
async fn ends_with_the_collector_and_rests_while_nobody_listens() {
    let tree = Tree::machine(Cgroups::V2);
    let (changes, heard) = Changes::channel(8);
    let running = tokio::spawn(tree.inventory().run(changes));
    drop(heard);
    tokio::time::timeout(Duration::from_secs(20), running).await.expect("it goes on").unwrap();

    let inventory = tree.inventory();
    let (changes, mut heard) = Changes::channel(8);
    let running = tokio::spawn(Arc::clone(&inventory).run(changes));
    up(&mut heard).await;
    listed(&mut heard).await;
    assert!(!inventory.is_dormant());
    inventory.heard(Hearing::Not);
    inventory.relist();
    assert!(inventory.is_dormant());
    // The collector takes a source whose task has ended for broken, so it waits, and scans no more.
    let more = tokio::time::timeout(Duration::from_millis(100), heard.recv()).await;
    assert!(more.is_err() && !running.is_finished());
    assert_eq!(inventory.counters().lists, 1);
    // The collector has forgotten what it was told.
    inventory.heard(Hearing::Beside);
    assert_eq!(listed(&mut heard).await, []);
    assert!(!inventory.is_dormant());
    drop(heard);
    tokio::time::timeout(Duration::from_secs(20), running).await.expect("it goes on").unwrap();
}

#[tokio::test]
async fn where_engines_answer_they_speak_first() {
    let tree = Tree::machine(Cgroups::V2);
    let [old, young] = ["1", "2"].map(|digit| format!("/docker/{}", id(digit)));
    tree.cgroup(&old, &[10]);
    tree.process(10, 86_399.0);
    let inventory = tree.inventory();
    let (changes, mut heard) = Changes::channel(8);
    tokio::spawn(Arc::clone(&inventory).run(changes));
    up(&mut heard).await;
    assert_eq!(listed(&mut heard).await.len(), 1, "alone it waits for the runtime's helpers only");
    // What was told stays, what is new waits.
    tree.cgroup(&young, &[20]);
    tree.process(20, 86_400.0);
    tree.uptime(86_400.5);
    let scans = inventory.counters().lists;
    inventory.heard(Hearing::Beside);
    while inventory.counters().lists < scans + 2 {
        tokio::task::yield_now().await;
    }
    assert!(heard.try_recv().is_err(), "there is nothing to tell yet");
    tree.uptime(86_402.1);
    let both = listed(&mut heard).await;
    assert_eq!(both.len(), 2, "it looks again by itself");
}

#[tokio::test]
async fn engines_that_are_heard_first_spare_the_scan() {
    let tree = Tree::machine(Cgroups::V2);
    let inventory = tree.with(|options| options.engines_first = Duration::from_secs(3600));
    let (changes, mut heard) = Changes::channel(8);
    tokio::spawn(Arc::clone(&inventory).run(changes));
    inventory.heard(Hearing::Not);
    tokio::task::yield_now().await;
    inventory.heard(Hearing::Alone);
    up(&mut heard).await;
    assert_eq!(listed(&mut heard).await, []);
    assert_eq!(inventory.counters().lists, 1, "none while engines told all");
}
