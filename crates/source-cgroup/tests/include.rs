//! What patterns choose, on trees of files that look like a machine's cgroups.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cgroup_reader::{Roots, ScanLimits};
use collector_core::{Change, Changes, Container, Engine, Inventory};
use source_cgroup::{Include, IncludeInventory, Options};
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;

/// A machine of cgroup v2, or of v1 with these hierarchies, that has been up for a day.
struct Tree {
    root: TempDir,
    mounts: &'static [&'static str],
}

impl Tree {
    fn new(mounts: &'static [&'static str]) -> Tree {
        let tree = Tree { root: tempfile::tempdir().unwrap(), mounts };
        tree.write("proc/stat", "cpu 1 2 3\nbtime 1000000000\n");
        tree.write("proc/uptime", "86400.00 1.00\n");
        for mount in mounts {
            fs::create_dir_all(tree.path(&format!("sys/fs/cgroup{mount}"))).unwrap();
        }
        if mounts == [""] {
            tree.write("sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n");
        }
        tree
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A cgroup, in all hierarchies, with these processes in it.
    fn cgroup(&self, cgroup: &str, pids: &[u32]) {
        for mount in self.mounts {
            self.cgroup_at(mount, cgroup, pids);
        }
    }

    fn cgroup_at(&self, mount: &str, cgroup: &str, pids: &[u32]) {
        let procs: String = pids.iter().map(|pid| format!("{pid}\n")).collect();
        self.write(&format!("sys/fs/cgroup{mount}{cgroup}/cgroup.procs"), &procs);
        for pid in pids {
            self.process(*pid, 100);
        }
    }

    /// A process that started so many seconds after boot.
    fn process(&self, pid: u32, seconds: u64) {
        let ticks = seconds * rustix_hz();
        self.write(&format!("proc/{pid}/stat"), &format!("{pid} (a) S{} {ticks} 0 0\n", " 0".repeat(18)));
    }

    fn inventory(&self, patterns: &[&str]) -> Arc<IncludeInventory> {
        self.limited(patterns, ScanLimits::default())
    }

    /// An hour between scans: whatever happens sooner was noticed.
    fn limited(&self, patterns: &[&str], limits: ScanLimits) -> Arc<IncludeInventory> {
        let mut options = Options::default();
        options.interval = Duration::from_secs(3600);
        options.limits = limits;
        let include = Include::new(patterns).unwrap();
        Arc::new(IncludeInventory::new(Roots::under(self.root.path()), include, options))
    }

    fn ids(&self, patterns: &[&str]) -> Vec<String> {
        ids(&self.inventory(patterns).containers().unwrap())
    }
}

fn rustix_hz() -> u64 {
    cgroup_reader::Host::detect(&Roots::default()).map_or(100, |host| host.units().user_hz)
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
    let tree = Tree::new(&[""]);
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
    assert!(web.started_at.is_some());
}

#[test]
fn each_hierarchy_of_v1_is_looked_through() {
    let tree = Tree::new(&["/memory", "/cpu,cpuacct"]);
    tree.cgroup_at("/memory", "/jobs/a", &[10]);
    tree.cgroup_at("/cpu,cpuacct", "/jobs/b", &[11]);
    tree.cgroup("/jobs/c", &[12]);
    assert_eq!(tree.ids(&["jobs/*"]), ["/jobs/a", "/jobs/b", "/jobs/c"]);
}

#[test]
fn containers_keep_their_ids_and_what_is_in_them() {
    let tree = Tree::new(&[""]);
    let id = "1f".repeat(32);
    tree.cgroup(&format!("/default/{id}"), &[10]);
    tree.cgroup(&format!("/default/{id}/init.scope"), &[11]);
    assert_eq!(tree.ids(&["**"]), [id]);
    let list = tree.inventory(&["default/*"]).containers().unwrap();
    assert_eq!((list[0].unit.as_deref(), list[0].name.as_deref()), (None, None));
}

#[test]
fn a_container_that_an_engine_may_tell_of_is_told_late() {
    let tree = Tree::new(&[""]);
    let id = "1f".repeat(32);
    tree.cgroup(&format!("/docker/{id}"), &[10]);
    tree.cgroup("/docker/plain", &[11]);
    tree.process(10, 86_399);
    tree.process(11, 86_399);
    assert_eq!(tree.ids(&["docker/*"]), ["/docker/plain"]);
    tree.write("proc/uptime", "86402.00 1.00\n");
    assert_eq!(tree.ids(&["docker/*"]), ["/docker/plain".to_owned(), id]);
}

#[test]
fn bounds_hold() {
    let tree = Tree::new(&[""]);
    for name in ["a", "b", "c"] {
        tree.cgroup(&format!("/jobs/{name}"), &[10]);
    }
    let limits = ScanLimits { found_max: 2, ..ScanLimits::default() };
    assert_eq!(tree.limited(&["jobs/*"], limits).containers().unwrap().len(), 2);
}

#[tokio::test]
async fn comes_and_goes_by_the_watch_of_the_tree() {
    let tree = Tree::new(&[""]);
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
    while listed(&mut heard).await != ["/jobs/a", "/jobs/b", "/jobs/b/deeper", "/jobs/b/deeper/still"] {}

    fs::remove_dir_all(tree.path("sys/fs/cgroup/jobs/a")).unwrap();
    while listed(&mut heard).await != ["/jobs/b", "/jobs/b/deeper", "/jobs/b/deeper/still"] {}
}

#[tokio::test]
async fn one_run_lasts_as_long_as_the_cgroup() {
    let tree = Tree::new(&[""]);
    tree.cgroup("/jobs/a", &[10]);
    let inventory = tree.inventory(&["jobs/*"]);
    let (changes, mut heard) = Changes::channel(8);
    tokio::spawn(Arc::clone(&inventory).run(changes));
    assert_eq!(listed(&mut heard).await, ["/jobs/a"]);
    let before = started(&inventory);

    // All its processes are other ones, younger than the last look: a unit goes on.
    fs::remove_dir_all(tree.path("proc/10")).unwrap();
    tree.cgroup("/jobs/a", &[20]);
    tree.process(20, 86_500);
    tree.write("proc/uptime", "86600.00 1.00\n");
    inventory.relist();
    let next = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await;
    let Ok(Some((_, Change::Listed(list)))) = next else { panic!("asked for, it lists: {next:?}") };
    assert_eq!(list[0].started_at, before);
}

fn started(inventory: &IncludeInventory) -> Option<std::time::SystemTime> {
    inventory.containers().unwrap()[0].started_at
}
