//! Noticing ends and changes. Every wait is for an event, with a generous limit for the case that it does not come.
#![cfg(all(feature = "reader", target_os = "linux"))]

mod common;

use std::fs;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use cgroup_reader::{
    CgroupPath, Directories, ExitSignal, ExitWatch, FdBudget, Found, Host, Layout, Roots, TreeEvent,
    TreeWatch, WatchError, classify,
};
use common::{ID, Tree};

fn next<T>(events: &Receiver<T>) -> T {
    events.recv_timeout(Duration::from_secs(20)).expect("an event within 20 s")
}

/// A process that runs until it is killed.
fn sleeper() -> Child {
    Command::new("sleep").arg("600").spawn().unwrap()
}

fn end(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_end_of_a_process_is_told_once() {
    let tree = Tree::new(Layout::V1);
    let host = Host::detect(&Roots { proc: "/proc".into(), ..Roots::under(tree.root()) }).unwrap();
    let budget = FdBudget::new(10);
    let (sender, events) = channel();
    let watch =
        ExitWatch::start(&host, &budget, move |token, signal| sender.send((token, signal)).unwrap()).unwrap();
    let nowhere = Directories::of(&host, &CgroupPath::everywhere("/none"));
    let (mut first, mut second, mut third) = (sleeper(), sleeper(), sleeper());
    for (token, child) in [(1, &first), (2, &second), (3, &third)] {
        let watched = watch.watch(token, Some(host.process(child.id()).unwrap()), &nowhere).unwrap();
        assert!(watched.process && watched.sees_exit() && !watched.cgroup_events);
    }
    assert_eq!((watch.len(), budget.used()), (3, 3));
    watch.unwatch(2);
    let third_process = host.process(third.id()).unwrap();
    end(&mut second);
    end(&mut first);
    assert_eq!(next(&events), (1, ExitSignal::Exited));
    end(&mut third);
    assert_eq!(next(&events), (3, ExitSignal::Exited), "nothing was told of the second");
    assert_eq!(budget.used(), 0);
    assert!(matches!(watch.watch(4, Some(third_process), &nowhere), Err(WatchError::Ended)));
    assert_eq!((watch.len(), budget.used()), (2, 0));
    watch.unwatch(1);
    watch.unwatch(3);
    assert!(watch.is_empty());
}

#[test]
fn cgroup_files_tell_of_kills_and_ends() {
    for (layout, controller) in [(Layout::V2, "core"), (Layout::Hybrid, "unified")] {
        let tree = Tree::new(layout);
        let cgroup = format!("/docker/{ID}");
        tree.container(&cgroup);
        tree.cgroup(controller, &cgroup, "cgroup.events", "populated 1\nfrozen 0\n");
        tree.cgroup(controller, &cgroup, "memory.events", "oom 0\noom_kill 0\n");
        let host = tree.host();
        let budget = FdBudget::new(10);
        let (sender, events) = channel();
        let watch =
            ExitWatch::start(&host, &budget, move |token, signal| sender.send((token, signal)).unwrap())
                .unwrap();
        let directories = Directories::of(&host, &CgroupPath::everywhere(&cgroup));
        let watched = watch.watch(9, None, &directories).unwrap();
        assert!(watched.cgroup_events && !watched.process);
        assert_eq!(watched.memory_events, layout == Layout::V2);

        // A pause changes the file too, and is no end.
        tree.cgroup(controller, &cgroup, "cgroup.events", "populated 1\nfrozen 1\n");
        if layout == Layout::V2 {
            tree.cgroup(controller, &cgroup, "memory.events", "oom 1\noom_kill 1\n");
            assert_eq!(next(&events), (9, ExitSignal::MemoryEvent));
        }
        tree.cgroup(controller, &cgroup, "cgroup.events", "populated 0\nfrozen 0\n");
        let last = std::iter::repeat_with(|| next(&events)).find(|event| event.1 != ExitSignal::MemoryEvent);
        assert_eq!(last, Some((9, ExitSignal::Exited)));
        // What is empty from the start would never be announced.
        assert!(matches!(watch.watch(10, None, &directories), Err(WatchError::Ended)));
        drop(watch);
        assert_eq!(budget.used(), 0);
    }
}

#[test]
fn without_room_nothing_is_watched_and_it_says_so() {
    let tree = Tree::new(Layout::V2);
    let cgroup = format!("/docker/{ID}");
    tree.container(&cgroup);
    tree.cgroup("core", &cgroup, "cgroup.events", "populated 1\n");
    let host = tree.host();
    let budget = FdBudget::new(0);
    let watch = ExitWatch::start(&host, &budget, |_, _| ()).unwrap();
    let watched = watch.watch(1, None, &Directories::of(&host, &CgroupPath::everywhere(&cgroup))).unwrap();
    assert!(!watched.sees_exit() && !watched.memory_events);
}

/// The next event of that container, whatever else happens on the machine.
fn about(events: &Receiver<TreeEvent>, id: &str) -> (bool, Found) {
    loop {
        match next(events) {
            TreeEvent::Created { found: Some(found), .. } if found.id == id => return (true, found),
            TreeEvent::Removed { found: Some(found), .. } if found.id == id => return (false, found),
            _ => {}
        }
    }
}

fn tree_changes(host: &Host, make: impl Fn(&str), remove: impl Fn(&str)) {
    let budget = FdBudget::new(1000);
    let (sender, events) = channel();
    let watch = TreeWatch::start(host, &budget, move |event| drop(sender.send(event))).unwrap();
    let before = watch.parents();
    assert_eq!(budget.used(), before);
    let (pod, nested) = ("/cgroup-reader-test/kubepods/podx", "a".repeat(64));
    let path = format!("{pod}/{nested}");
    // Parents made one after the other, and the container at once: whatever the watch misses it has to find by itself.
    for parent in ["/cgroup-reader-test", "/cgroup-reader-test/kubepods", pod, &path] {
        make(parent);
    }
    let found = classify(&path).unwrap();
    assert_eq!(about(&events, &nested), (true, found.clone()));
    assert!(watch.add_parents(&found));
    assert_eq!(watch.parents(), before + 3, "the container itself is no parent");
    remove(&path);
    // It may be told twice that it came, but then that it went.
    let gone = std::iter::repeat_with(|| about(&events, &nested)).find(|event| !event.0);
    assert_eq!(gone, Some((false, found)));
    for parent in [pod, "/cgroup-reader-test/kubepods", "/cgroup-reader-test"] {
        remove(parent);
    }
    loop {
        match next(&events) {
            TreeEvent::Removed { cgroup, found: None } if cgroup == "/cgroup-reader-test" => break,
            _ => {}
        }
    }
    drop(watch);
    assert_eq!(budget.used(), 0);
}

#[test]
fn cgroups_that_come_and_go() {
    for layout in [Layout::V1, Layout::V2] {
        let tree = Tree::new(layout);
        let directory = |path: &str| tree.path(&tree.file("memory", path, ""));
        tree_changes(
            &tree.host(),
            |path| fs::create_dir(directory(path)).unwrap(),
            |path| fs::remove_dir(directory(path)).unwrap(),
        );
    }
}

/// The same on the kernel's own tree, where rights allow.
#[test]
fn cgroups_that_come_and_go_on_the_live_host() {
    let Ok(host) = Host::detect(&Roots::default()) else { return };
    let directory = |path: &str| {
        let directories = Directories::of(&host, &CgroupPath::everywhere(path));
        directories.path(cgroup_reader::Controller::Memory)
    };
    let Some(probe) = directory("/cgroup-reader-probe") else { return };
    if fs::create_dir(&probe).is_err() {
        return;
    }
    fs::remove_dir(&probe).unwrap();
    tree_changes(
        &host,
        |path| fs::create_dir(directory(path).unwrap()).unwrap(),
        |path| fs::remove_dir(directory(path).unwrap()).unwrap(),
    );
}

/// A rootless engine's first container is seen in a session that began before anybody looked.
#[test]
fn users_sessions_are_watched_from_the_start() {
    let tree = Tree::new(Layout::V2);
    let session = tree.root().join("sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service");
    fs::create_dir_all(session.join("app.slice/dbus.service")).unwrap();
    let host = Host::detect(&Roots::under(tree.root())).unwrap();
    let (sender, events) = channel();
    let watch = TreeWatch::start(&host, &FdBudget::new(100), move |event| drop(sender.send(event))).unwrap();
    assert_eq!(watch.parents(), 5, "a service is nobody's parent");
    fs::create_dir_all(session.join(format!("user.slice/libpod-{ID}.scope/container"))).unwrap();
    assert!(about(&events, ID).0);
}
