//! What a look into every process finds, a second time and by hand.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::compare;
use super::table::{
    Kind::{Counter, Gauge},
    Reading, Row, pids,
};
use crate::harness::{Kernel, Scope, key};

/// Those with one value for a container.
pub(super) const ROWS: &[Row] = &[
    ("container_processes", Gauge, |k| Some(processes(k).len() as f64)),
    ("container_file_descriptors", Gauge, |k| Some(descriptors(k).count() as f64)),
    ("container_sockets", Gauge, |k| {
        let is_socket = |link: &PathBuf| link.to_string_lossy().starts_with("socket:");
        Some(descriptors(k).filter(is_socket).count() as f64)
    }),
    ("container_threads_peak", Gauge, |k| pids(k, "pids.peak")),
    ("container_pids_events_max_total", Counter, |k| {
        key(&k.v1("pids", "pids.events").or_else(|| k.v2("pids.events"))?, "max")
    }),
];

const STATES: &str = "container_tasks_state";
const LIMITS: &str = "container_ulimits_soft";

/// Those with several.
pub(super) const FAMILIES: [&str; 2] = [STATES, LIMITS];

/// Their values now.
pub(super) fn add(kernel: &Kernel, all: &mut Vec<Reading>) {
    let processes = processes(kernel);
    let tasks = processes.iter().flat_map(|pid| list(&PathBuf::from(format!("/proc/{pid}/task"))));
    let mut states: Vec<char> = tasks.filter_map(|task| Some(stat(&task)?.0)).collect();
    // Nobody lists zombies, so every process of the machine is asked whose child it was.
    let is_zombie = |path: &PathBuf| {
        stat(path).is_some_and(|(state, parent)| state == 'Z' && processes.contains(&parent))
    };
    states.extend(list(Path::new("/proc")).into_iter().filter(is_zombie).map(|_| 'Z'));
    for (state, letters) in
        [("running", "R"), ("sleeping", "SI"), ("uninterruptible", "D"), ("stopped", "Tt"), ("zombie", "Z")]
    {
        let value = states.iter().filter(|state| letters.contains(**state)).count() as f64;
        all.push(Reading { name: STATES, labels: vec![("state", state.to_owned())], kind: Gauge, value });
    }
    let text = fs::read_to_string(format!("/proc/{}/limits", kernel.pid)).unwrap_or_default();
    for line in text.lines().skip(1) {
        let (name, values) = line.split_at(26);
        let name = name.trim().to_lowercase().replace(' ', "_");
        // An unlimited one has no number.
        if let Some(value) = values.split_whitespace().next().and_then(|word| word.parse().ok()) {
            all.push(Reading { name: LIMITS, labels: vec![("ulimit", name)], kind: Gauge, value });
        }
    }
}

/// The processes of the container's cgroup and of those below it.
fn processes(kernel: &Kernel) -> BTreeSet<u32> {
    let mut directories: Vec<PathBuf> = kernel.directory("pids").map(Path::to_owned).into_iter().collect();
    let mut found = BTreeSet::new();
    while let Some(directory) = directories.pop() {
        let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        directories.extend(list(&directory).into_iter().filter(|path| path.is_dir()));
    }
    found
}

fn descriptors(kernel: &Kernel) -> impl Iterator<Item = PathBuf> + use<> {
    let of = |pid: u32| list(&PathBuf::from(format!("/proc/{pid}/fd")));
    processes(kernel).into_iter().flat_map(of).map(|path| fs::read_link(path).unwrap_or_default())
}

fn list(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// State and parent of a process or thread.
fn stat(directory: &Path) -> Option<(char, u32)> {
    let text = fs::read_to_string(directory.join("stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

#[test]
fn zombies_stopped_processes_limits_and_refused_forks_show() {
    let Some(scope) = Scope::new("processes") else { return };
    let options = ["--pids-limit", "12", "--ulimit", "nofile=345:678", "--ulimit", "core=0"];
    let container = scope.run("crowd", &options, "nc -l -p 7000 & exec sleep 100000");
    // The first process waits for nobody, so who loses its parent stays a zombie.
    container.exec("(true &)");
    container.exec("sleep 100000 & kill -STOP $!");
    container.exec("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 100000 & done");
    let exporter = scope.exporter().start();
    exporter.await_container(&container.name);
    let compared = compare(&exporter, &container);
    assert!(compared["container_processes"] >= 4.0, "{compared:#?}");
    assert!(compared["container_file_descriptors"] >= 12.0, "{compared:#?}");
    assert!(compared["container_sockets"] >= 1.0, "{compared:#?}");
    assert!(compared["container_pids_events_max_total"] >= 1.0, "no fork was refused: {compared:#?}");
    let page = exporter.scrape();
    let of =
        |name: &str, label: (&str, &str)| page.value(name, &[("container_name", &container.name), label]);
    assert_eq!(of(STATES, ("state", "zombie")), Some(1.0));
    assert_eq!(of(STATES, ("state", "stopped")), Some(1.0));
    assert_eq!(of(LIMITS, ("ulimit", "max_open_files")), Some(345.0));
    assert_eq!(of(LIMITS, ("ulimit", "max_core_file_size")), Some(0.0));
    let page = exporter.scrape_at("/metrics?collect[]=pids");
    assert_eq!(page.of("container_processes", &container.name), None, "it was not asked for");
    assert!(page.of("container_threads", &container.name).is_some());
}
