//! What patterns choose, on trees of files that look like a machine's cgroups.
#![cfg(target_os = "linux")]

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use cgroup_reader::{Roots, ScanLimits};
use collector_core::{Change, Changes, Container, Engine, Inventory};
use source_cgroup::{Include, IncludeInventory, Options};
use test_support::{Cgroups, Tree};
use tokio::sync::mpsc::Receiver;

/// What is asked of a machine here.
trait Inventories {
    fn inventory(&self, patterns: &[&str]) -> Arc<IncludeInventory> {
        self.limited(patterns, ScanLimits::default())
    }

    /// An hour between scans: whatever happens sooner was noticed.
    fn limited(&self, patterns: &[&str], limits: ScanLimits) -> Arc<IncludeInventory>;

    fn ids(&self, patterns: &[&str]) -> Vec<String> {
        ids(&self.inventory(patterns).containers().unwrap())
    }
}

impl Inventories for Tree {
    fn limited(&self, patterns: &[&str], limits: ScanLimits) -> Arc<IncludeInventory> {
        let mut options = Options::default();
        options.interval = Duration::from_secs(3600);
        options.limits = limits;
        let include = Include::new(patterns).unwrap();
        Arc::new(IncludeInventory::new(Roots::under(self.root()), include, options))
    }
}

/// A machine with processes of these pids, which started soon after boot.
fn machine(cgroups: Cgroups, pids: &[u32]) -> Tree {
    let tree = Tree::machine(cgroups);
    pids.iter().for_each(|pid| tree.process(*pid, 100.0));
    tree
}

fn ids(containers: &[Container]) -> Vec<String> {
    containers.iter().map(|container| container.id.to_string()).collect()
}

async fn listed(heard: &mut Receiver<(usize, Change)>) -> Vec<String> {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await;
        if let Change::Listed(containers) = next.expect("it says something").expect("it goes on").1 {
            return ids(&containers);
        }
    }
}

#[test]
fn units_are_shown_by_their_paths_with_unit_and_slice() {
    let tree = machine(Cgroups::V2, &[10, 11, 12]);
    tree.cgroup("/system.slice/web.service", &[10]);
    tree.cgroup("/system.slice/db.service/worker", &[11]);
    tree.cgroup("/system.slice/done.service", &[]);
    tree.cgroup("/user.slice/user-0.slice/session-1.scope", &[12]);
    let list = tree.inventory(&["system.slice/*.service", "user.slice/**"]).containers().unwrap();
    let shown: Vec<_> = list
        .iter()
        .map(|one| (one.id.as_str(), one.unit.as_deref().unwrap(), one.slice.as_deref().unwrap()))
        .collect();
    assert_eq!(
        shown,
        [
            // Its processes are all below it.
            ("/system.slice/db.service", "db.service", "system.slice"),
            ("/system.slice/web.service", "web.service", "system.slice"),
            ("/user.slice/user-0.slice/session-1.scope", "session-1.scope", "user-0.slice"),
        ]
    );
    let web = &list[1];
    assert_eq!((web.engine, web.name.as_deref(), web.pid), (Engine::Kernel, Some("web.service"), None));
    assert_eq!(web.cgroup.as_deref(), Some("/system.slice/web.service"));
    assert!(web.started_at.is_some() && web.is_unit());
}

#[test]
fn two_stars_at_the_end_choose_nothing_that_is_counted_twice() {
    let tree = machine(Cgroups::V2, &[10]);
    let user = "/user.slice/user-7.slice";
    let manager = format!("{user}/user@7.service");
    for cgroup in [
        "/system.slice/db.service/worker",
        "/system.slice/db.service/writer/inner",
        "/init.scope",
        "/jobs/a",
        "/jobs/a-b",
        "/jobs/c/d",
        &format!("{user}/session-1.scope"),
        &format!("{manager}/init.scope"),
        &format!("{manager}/app.slice/player.service"),
    ] {
        tree.cgroup(cgroup, &[10]);
    }
    assert_eq!(
        tree.ids(&["**"]),
        [
            "/init.scope",
            "/jobs/a",
            "/jobs/a-b",
            "/jobs/c/d",
            "/system.slice/db.service",
            &format!("{user}/session-1.scope"),
            &format!("{manager}/app.slice/player.service"),
            &format!("{manager}/init.scope"),
        ]
    );
    // What a last component says is shown, whatever is in it or around it.
    let patterns = ["user.slice/**", "user.slice/*/user@*.service", "**/worker", "*.slice"];
    assert_eq!(
        tree.ids(&patterns),
        [
            "/system.slice",
            "/system.slice/db.service/worker",
            "/user.slice",
            &format!("{user}/session-1.scope"),
            &manager,
            &format!("{manager}/app.slice/player.service"),
            &format!("{manager}/init.scope"),
        ]
    );
}

#[test]
fn each_hierarchy_of_v1_is_looked_through() {
    let tree = machine(Cgroups::V1, &[10, 11, 12]);
    tree.cgroup_in("memory", "/jobs/a", &[10]);
    tree.cgroup_in("cpu,cpuacct", "/jobs/b", &[11]);
    tree.cgroup("/jobs/c", &[12]);
    assert_eq!(tree.ids(&["jobs/*"]), ["/jobs/a", "/jobs/b", "/jobs/c"]);
}

#[test]
fn containers_keep_their_ids_and_what_is_in_them() {
    let tree = machine(Cgroups::V2, &[10, 11]);
    let id = "1f".repeat(32);
    tree.cgroup(&format!("/default/{id}"), &[10]);
    tree.cgroup(&format!("/default/{id}/init.scope"), &[11]);
    assert_eq!(tree.ids(&["**"]), [id]);
    let list = tree.inventory(&["default/*"]).containers().unwrap();
    assert_eq!((list[0].unit.as_deref(), list[0].name.as_deref()), (None, None));
    assert!(!list[0].is_unit());
}

/// Where nerdctl 1.7 and 2.1, `ctr run` and systemd-nspawn (257 and 262, and by `machinectl start`) put their containers.
#[test]
fn containers_that_only_the_kernel_knows() {
    let (a, b) = ("1f".repeat(32), "2e".repeat(32));
    let tree = machine(Cgroups::V2, &[10]);
    for cgroup in [
        &format!("/system.slice/nerdctl-{a}.scope"),
        &format!("/default/{b}"),
        "/default/web",
        r"/machine.slice/machine-my\x2dbox.scope/payload/system.slice/ssh.service",
        "/machine.slice/my-vm.scope/payload",
        "/machine.slice/systemd-nspawn@other.service/payload",
    ] {
        tree.cgroup(cgroup, &[10]);
    }
    assert_eq!(tree.ids(&["system.slice/*.service", "user.slice/**"]), [""; 0], "nobody asked for them");
    let patterns = ["system.slice/nerdctl-*.scope", "default/*", "machine.slice/**"];
    let list = tree.inventory(&patterns).containers().unwrap();
    let shown: Vec<_> = list.iter().map(|one| (one.id.as_str(), one.name.as_deref())).collect();
    assert_eq!(
        shown,
        [
            ("/default/web", Some("web")),
            (r"/machine.slice/machine-my\x2dbox.scope", Some("my-box")),
            ("/machine.slice/my-vm.scope", Some("my-vm")),
            ("/machine.slice/systemd-nspawn@other.service", Some("other")),
            (a.as_str(), None),
            (b.as_str(), None),
        ]
    );
    assert!(list.iter().all(|one| !one.is_unit() && one.slice.is_none()), "{list:#?}");
}

#[test]
fn a_container_that_an_engine_may_tell_of_is_told_late() {
    let tree = Tree::machine(Cgroups::V2);
    let id = "1f".repeat(32);
    tree.cgroup(&format!("/docker/{id}"), &[10]);
    tree.cgroup("/docker/plain", &[11]);
    tree.process(10, 86_399.0);
    tree.process(11, 86_399.0);
    assert_eq!(tree.ids(&["docker/*"]), ["/docker/plain"]);
    tree.uptime(86_402.0);
    assert_eq!(tree.ids(&["docker/*"]), ["/docker/plain".to_owned(), id]);
}

#[test]
fn bounds_hold() {
    let tree = machine(Cgroups::V2, &[10]);
    for name in ["a", "b", "c"] {
        tree.cgroup(&format!("/jobs/{name}"), &[10]);
    }
    let limits = ScanLimits { found_max: 2, ..ScanLimits::default() };
    assert_eq!(tree.limited(&["jobs/*"], limits).containers().unwrap().len(), 2);
}

#[tokio::test]
async fn comes_and_goes_by_the_watch_of_the_tree() {
    let tree = machine(Cgroups::V2, &[10, 11, 12]);
    tree.cgroup("/jobs/a", &[10]);
    let (changes, mut heard) = Changes::channel(8);
    tokio::spawn(tree.inventory(&["jobs/**"]).run(changes));
    assert_eq!(listed(&mut heard).await, ["/jobs/a"]);

    // Made first, moved into later, as a manager does. Nobody asks for a list.
    fs::create_dir(tree.path("sys/fs/cgroup/jobs/b")).unwrap();
    tree.cgroup("/jobs/b", &[11]);
    assert_eq!(listed(&mut heard).await, ["/jobs/a", "/jobs/b"]);

    // In what came while we watched.
    tree.cgroup("/jobs/b/deeper/still", &[12]);
    while listed(&mut heard).await != ["/jobs/a", "/jobs/b/deeper/still"] {}

    tree.remove_cgroup("/jobs/a");
    while listed(&mut heard).await != ["/jobs/b/deeper/still"] {}
}

/// systemd makes a unit's cgroup only where the unit's numbers are asked for.
#[tokio::test]
async fn each_hierarchy_of_v1_is_watched() {
    for cgroups in [Cgroups::V1, Cgroups::Hybrid] {
        let tree = machine(cgroups, &[10]);
        tree.cgroup("/jobs/a", &[10]);
        let (changes, mut heard) = Changes::channel(8);
        tokio::spawn(tree.inventory(&["jobs/*"]).run(changes));
        assert_eq!(listed(&mut heard).await, ["/jobs/a"]);
        let mut expect = vec!["/jobs/a".to_owned()];
        for hierarchy in ["pids", "cpu,cpuacct", "memory"] {
            let cgroup = format!("/jobs/in-{hierarchy}");
            tree.cgroup_in(hierarchy, &cgroup, &[10]);
            expect.push(cgroup);
            expect.sort();
            while listed(&mut heard).await != expect {}
        }
    }
}

#[tokio::test]
async fn one_run_lasts_as_long_as_the_cgroup() {
    let tree = machine(Cgroups::V2, &[10]);
    tree.cgroup("/jobs/a", &[10]);
    let inventory = tree.inventory(&["jobs/*"]);
    let (changes, mut heard) = Changes::channel(8);
    tokio::spawn(Arc::clone(&inventory).run(changes));
    assert_eq!(listed(&mut heard).await, ["/jobs/a"]);
    let before = started(&inventory);

    // All its processes are other ones, younger than the last look: a unit goes on.
    tree.remove("proc/10");
    tree.cgroup("/jobs/a", &[20]);
    tree.process(20, 86_500.0);
    tree.uptime(86_600.0);
    inventory.relist();
    let next = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await;
    let Ok(Some((_, Change::Listed(list)))) = next else { panic!("asked for, it lists: {next:?}") };
    assert_eq!(list[0].started_at, before);
}

fn started(inventory: &IncludeInventory) -> Option<std::time::SystemTime> {
    inventory.containers().unwrap()[0].started_at
}
