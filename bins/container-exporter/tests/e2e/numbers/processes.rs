//! What a look into every process finds, a second time and by hand.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::compare;
use super::table::{
    Kind::{Counter, Gauge},
    Reading, Row, pids,
};
use crate::harness::{Kernel, Scope, await_until, key};

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

const WAITED: &str = "container_cpu_schedstat_runqueue_seconds_total";
const RAN: &str = "container_cpu_schedstat_run_seconds_total";
const PERIODS: &str = "container_cpu_schedstat_run_periods_total";

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
    let exporter = scope.exporter().all_groups().start();
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

/// Seconds on a CPU, seconds waiting for one, and how often one was had, of all threads of the container now.
fn schedstat(kernel: &Kernel) -> [f64; 3] {
    let tasks =
        processes(kernel).into_iter().flat_map(|pid| list(&PathBuf::from(format!("/proc/{pid}/task"))));
    let texts = tasks.filter_map(|task| fs::read_to_string(task.join("schedstat")).ok());
    texts.fold([0.0; 3], |sum, text| {
        let mut words = text.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
        let [ran, waited, periods] = [(); 3].map(|()| words.next().unwrap_or(0.0));
        [sum[0] + ran / 1e9, sum[1] + waited / 1e9, sum[2] + periods]
    })
}

/// Three threads that want half a CPU wait for it and for each other: what the counters rise by lies between two readings of
/// the kernel's own numbers.
#[test]
fn waits_for_a_cpu_rise_as_the_kernel_counts_them() {
    const ALL: [&str; 3] = [RAN, WAITED, PERIODS];
    let Some(scope) = Scope::new("waits") else { return };
    let busy = "while :; do :; done";
    let container = scope.run("busy", &["--cpus", "0.5"], &format!("({busy}) & ({busy}) & {busy}"));
    let kernel = container.kernel();
    await_until("three processes run", || (processes(&kernel).len() >= 3).then_some(()));
    let exporter = scope.exporter().all_groups().start();
    let page = exporter.await_container(&container.name);
    if schedstat(&kernel)[2] == 0.0 {
        assert_eq!(page.of(WAITED, &container.name), None, "zeros of a kernel that does not count");
        assert!(page.absent("processes", "not_counted") + page.absent("processes", "no_file") > 0.0);
        return;
    }
    let scrape = || {
        let before = schedstat(&kernel);
        let page = exporter.scrape();
        let of = |name| page.of(name, &container.name).unwrap_or_else(|| panic!("no {name}"));
        (before, ALL.map(of), schedstat(&kernel))
    };
    let first = scrape();
    await_until("they have waited", || (schedstat(&kernel)[1] > first.2[1] + 0.2).then_some(()));
    let last = scrape();
    for (place, name) in ALL.into_iter().enumerate() {
        let rise = last.1[place] - first.1[place];
        let (least, most) = (last.0[place] - first.2[place], last.2[place] - first.0[place]);
        // Seconds have nine digits on the page, and sums of them are not exact.
        assert!(least - 1e-6 <= rise && rise <= most + 1e-6, "{name}: {rise} is not within {least}..{most}");
        assert!(rise > 0.0, "{name}");
    }
}
