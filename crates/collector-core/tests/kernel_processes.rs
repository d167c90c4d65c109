//! The group `processes` over real processes: what it shows is what `/proc` says of them.
//!
//! The cgroups are directories of a test, whose `cgroup.procs` name processes of this machine.
#![cfg(all(feature = "kernel", target_os = "linux"))]

mod kernel_support;

use std::{
    fs,
    io::Read as _,
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _, unix::net::UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use cgroup_reader::Roots;
use collector_core::{
    Absence, Container, ContainerId, Engine, Group, Groups, KernelOptions, KernelSampler, Probe, Reading,
    Sample, Sampler, State,
    catalogue::{RowId, ids},
};
use kernel_support::{Machine, absent, reading};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::{Pid, Uid, setfsuid},
};
use test_support::Tree;

const GROUPS: Groups = Groups::NONE.with(Group::Processes);

/// A container of files, with these processes of this machine.
fn container(pids: &[u32]) -> Tree {
    let tree = Tree::unpack(
        "=== sys/fs/cgroup/cgroup.controllers\npids\n=== sys/fs/cgroup/box/nested/inner/cgroup.procs\n",
        &[],
    );
    let (first, others) = pids.split_at(1);
    tree.write("sys/fs/cgroup/box/cgroup.procs", lines(first));
    // Processes may sit deeper than the container's own cgroup.
    tree.write("sys/fs/cgroup/box/nested/cgroup.procs", lines(others));
    tree
}

fn lines(pids: &[u32]) -> String {
    pids.iter().map(|pid| format!("{pid}\n")).collect()
}

/// What a sampler finds that sees this machine's `/proc`.
fn sample(tree: &Tree) -> Sample {
    sample_of(&mut *open(tree))
}

fn sample_of(probe: &mut dyn Probe) -> Sample {
    let mut sample = Sample::of_container(Absence::NotCollected, GROUPS);
    probe.sample(GROUPS, &mut sample).expect("the cgroup is there");
    sample
}

fn open(tree: &Tree) -> Box<dyn Probe> {
    let mut options = KernelOptions::default();
    options.roots = Roots { cgroup: tree.path("sys/fs/cgroup"), proc: "/proc".into() };
    let sampler = KernelSampler::start(&options).expect("a host");
    let mut container = Container::new(ContainerId::new(&"d".repeat(64)), Engine::Docker, State::Running);
    container.cgroup = Some("/box".into());
    sampler.open(&container, Arc::new(|_| {})).expect("a cgroup")
}

/// Processes that end with the test.
struct Ended(Vec<Child>);

impl Drop for Ended {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts a shell that says `ready` once its script has come so far.
fn shell(script: &str, input: impl Into<Stdio>) -> Child {
    let mut child = Command::new("sh")
        .args(["-c", script])
        .stdin(input)
        .stdout(Stdio::piped())
        .spawn()
        .expect("failed to start `sh`");
    let mut word = [0; 5];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut word).expect("the script goes on");
    assert_eq!(&word, b"ready");
    child
}

fn int(sample: &Sample, row: RowId) -> u64 {
    sample.get(row).as_u64().unwrap_or_else(|| panic!("{:?}", sample.get(row)))
}

/// Whatever a test awaits is there within this time.
const PATIENCE: Duration = Duration::from_secs(20);

#[track_caller]
fn await_that(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::yield_now();
    }
}

/// Awaits that the process is in that state, as the third field of its `stat` says.
#[track_caller]
fn await_state(pid: u32, state: &str) {
    await_that(state, || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(state))
    });
}

#[test]
fn descriptors_sockets_and_limits_are_those_of_proc() {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    // The shell keeps a socket, and three files besides its standard ones.
    let script = "ulimit -S -n 123; ulimit -S -c 0; exec 3</dev/null 4<&3 5<&0; printf ready; read x";
    let child = shell(script, OwnedFd::from(theirs));
    let pid = child.id();
    let _ended = Ended(vec![child]);
    let links: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("our own child")
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .collect();
    let is_socket =
        |link: &&std::path::PathBuf| link.to_str().is_some_and(|link| link.starts_with("socket:"));
    await_state(pid, "S");
    let sample = sample(&container(&[pid]));
    assert_eq!(int(&sample, ids::PROCESSES), 1);
    assert_eq!(int(&sample, ids::FILE_DESCRIPTORS), links.len() as u64);
    assert_eq!(int(&sample, ids::SOCKETS), links.iter().filter(is_socket).count() as u64);
    assert!(int(&sample, ids::SOCKETS) >= 2, "{links:?}");
    assert_eq!(int(&sample, ids::ULIMIT_OPEN_FILES), 123);
    assert_eq!(int(&sample, ids::ULIMIT_CORE_FILE_SIZE), 0);
    assert_eq!(sample.get(ids::ULIMIT_CPU_TIME), Reading::Max, "unlimited");
    assert_eq!(int(&sample, ids::TASKS_SLEEPING), 1);
    drop(ours);
}

#[test]
fn states_are_told_apart_and_zombies_found() {
    // What `sleep` inherits by exec it never waits for.
    let script = "exec 3<&0; { read x <&3; } & printf ready; exec sleep 1000";
    let mut parent = shell(script, Stdio::piped());
    let stopped = shell("printf ready; kill -STOP $$; read x", Stdio::piped());
    let busy = shell("printf ready; while :; do :; done", Stdio::null());
    let pids = [parent.id(), stopped.id(), busy.id()];
    let input = parent.stdin.take();
    let _ended = Ended(vec![parent, stopped, busy]);
    await_state(pids[1], "T");
    let tree = container(&pids);
    await_that("sleep runs", || {
        fs::read_to_string(format!("/proc/{}/comm", pids[0])).is_ok_and(|name| name == "sleep\n")
    });
    await_state(pids[0], "S");
    drop(input);
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", pids[0]));
    if let Ok(child) = &children {
        await_state(child.trim().parse().expect("one child"), "Z");
    }
    let sample = sample(&tree);
    assert_eq!(int(&sample, ids::PROCESSES), 3);
    assert_eq!(int(&sample, ids::TASKS_STOPPED), 1);
    assert_eq!(int(&sample, ids::TASKS_RUNNING), 1);
    assert_eq!(int(&sample, ids::TASKS_SLEEPING), 1);
    match children {
        Ok(_) => assert_eq!(int(&sample, ids::TASKS_ZOMBIE), 1),
        Err(_) => assert_eq!(sample.get(ids::TASKS_ZOMBIE), Reading::Absent(Absence::NoFile)),
    }
}

#[test]
fn every_thread_counts() {
    let (keep, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(std::sync::Mutex::new(wait));
    let threads: Vec<_> = (0..20)
        .map(|_| {
            let wait = Arc::clone(&wait);
            std::thread::spawn(move || drop(wait.lock().map(|wait| wait.recv())))
        })
        .collect();
    let pid = std::process::id();
    let tree = container(&[pid]);
    let tasks = || fs::read_dir(Path::new("/proc/self/task")).expect("our own").count() as u64;
    // Other tests of this program start and end threads, too.
    let agrees = (0..1000).any(|_| {
        let before = tasks();
        let sample = sample(&tree);
        let states =
            [ids::TASKS_RUNNING, ids::TASKS_SLEEPING, ids::TASKS_UNINTERRUPTIBLE, ids::TASKS_STOPPED];
        // Where a processor is hard to get, a look takes longer than it may.
        let Some(sum) = states.into_iter().map(|row| sample.get(row).as_u64()).sum::<Option<u64>>() else {
            return false;
        };
        // The sampler's own threads come with it and go with it.
        assert!(sum > 20, "{sum}");
        sum >= before && tasks() == before
    });
    assert!(agrees, "never the same as /proc/self/task");
    drop(keep);
    threads.into_iter().for_each(|thread| thread.join().expect("a thread"));
}

#[test]
fn processes_that_have_vanished_are_listed_but_not_looked_into() {
    let child = shell("printf ready; read x", Stdio::piped());
    let alive = child.id();
    let mut gone = shell("printf ready", Stdio::null());
    gone.wait().expect("its end");
    await_state(alive, "S");
    let _ended = Ended(vec![child]);
    let sample = sample(&container(&[alive, gone.id()]));
    assert_eq!(int(&sample, ids::PROCESSES), 2);
    assert_eq!(int(&sample, ids::TASKS_SLEEPING), 1);
    let descriptors = fs::read_dir(format!("/proc/{alive}/fd")).expect("our own child").count();
    assert_eq!(int(&sample, ids::FILE_DESCRIPTORS), descriptors as u64);
}

#[test]
fn pids_of_another_namespace_are_not_reachable() {
    let sample = sample(&container(&[0, 0]));
    assert_eq!(int(&sample, ids::PROCESSES), 2);
    for row in [ids::FILE_DESCRIPTORS, ids::SOCKETS, ids::TASKS_RUNNING, ids::TASKS_ZOMBIE] {
        assert_eq!(sample.get(row), Reading::Absent(Absence::NotReachable));
    }
}

const TOO_MANY: Reading = Reading::Absent(Absence::TooMany);

#[tokio::test]
async fn past_the_bounds_each_number_is_absent_by_itself() {
    let machine = Machine::start("v2-6.12").await;
    let pid = machine.processes[0].pid();
    let before = machine.collect(Groups::all()).await;
    assert_eq!(reading(&before, "web", ids::TASKS_SLEEPING), Reading::int(1));
    assert_eq!(reading(&before, "web", ids::TASKS_ZOMBIE), Reading::int(1));

    // One process with 50,000 threads: they are not even listed.
    let stat = machine.tree.path(&format!("proc/{pid}/stat"));
    let line = fs::read_to_string(&stat).expect("a file of the tree");
    fs::write(&stat, line.replace(" 20 0 1 0 ", " 20 0 50000 0 ")).expect("a file of the tree");
    machine.write("pids", "web", "pids.current", "50000\n");
    let snapshot = machine.collect(Groups::all()).await;
    assert_eq!(reading(&snapshot, "web", ids::PROCESSES), Reading::int(1));
    assert_eq!(reading(&snapshot, "web", ids::FILE_DESCRIPTORS), Reading::int(3));
    assert_eq!(reading(&snapshot, "web", ids::TASKS_SLEEPING), TOO_MANY);
    assert_eq!(reading(&snapshot, "web", ids::TASKS_ZOMBIE), TOO_MANY);
    assert_eq!(reading(&snapshot, "plain", ids::TASKS_SLEEPING), Reading::int(1));
    assert_eq!(absent(&snapshot, Group::Processes, Absence::TooMany), 1);
    assert_eq!(reading(&snapshot, "web", ids::THREADS), Reading::int(50_000), "the kernel's own count");

    // Two when it was asked, and 50,000 by the time they are listed.
    fs::write(&stat, line.replace(" 20 0 1 0 ", " 20 0 2 0 ")).expect("a file of the tree");
    for thread in 0..9_000 {
        let path = format!("proc/{pid}/task/{}", 2_000_000 + thread);
        fs::create_dir(machine.tree.path(&path)).expect("a directory of the tree");
    }
    let snapshot = machine.collect(Groups::all()).await;
    assert_eq!(reading(&snapshot, "web", ids::TASKS_SLEEPING), TOO_MANY);
    assert_eq!(reading(&snapshot, "web", ids::FILE_DESCRIPTORS), Reading::int(3));
    fs::write(&stat, line).expect("a file of the tree");

    // 3,000 processes are counted, and not looked into.
    let many: Vec<u32> = (1_000_000..1_003_000).collect();
    machine.write("pids", "web", "cgroup.procs", &lines(&many));
    let snapshot = machine.collect(Groups::all()).await;
    assert_eq!(reading(&snapshot, "web", ids::PROCESSES), Reading::int(3000));
    assert_eq!(reading(&snapshot, "web", ids::SOCKETS), TOO_MANY);

    // A list without end.
    machine.write("pids", "web", "cgroup.procs", &"1234567\n".repeat(200_000));
    let snapshot = machine.collect(Groups::all()).await;
    assert_eq!(reading(&snapshot, "web", ids::PROCESSES), TOO_MANY);

    machine.write("pids", "web", "cgroup.procs", "12 x\n");
    let snapshot = machine.collect(Groups::all()).await;
    assert_eq!(reading(&snapshot, "web", ids::PROCESSES), Reading::Absent(Absence::Malformed));
}

/// Nobody but root may list what the first process of a machine has open.
#[test]
fn descriptors_that_may_not_be_listed_are_absent() {
    let tree = container(&[1]);
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(tree.root(), open).expect("our own directory");
    let asked = std::thread::spawn(move || {
        // Of this thread only, and refused to those who are nobody special already.
        setfsuid(Uid::from_raw(65_534));
        sample(&tree)
    });
    let sample = asked.join().expect("a sample");
    assert_eq!(int(&sample, ids::PROCESSES), 1);
    for row in [ids::FILE_DESCRIPTORS, ids::SOCKETS] {
        assert_eq!(sample.get(row), Reading::Absent(Absence::PermissionDenied));
    }
    let states = [ids::TASKS_RUNNING, ids::TASKS_SLEEPING, ids::TASKS_UNINTERRUPTIBLE, ids::TASKS_STOPPED];
    assert!(states.into_iter().map(|row| int(&sample, row)).sum::<u64>() >= 1, "states need no rights");
}

const SCHEDSTAT: [RowId; 3] =
    [ids::CPU_SCHEDSTAT_RUN, ids::CPU_SCHEDSTAT_RUNQUEUE, ids::CPU_SCHEDSTAT_RUN_PERIODS];

/// The three numbers of a process's first thread; all 0 where the kernel does not count.
fn schedstat(pid: u32) -> [u64; 3] {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/schedstat")).unwrap_or_default();
    let mut words = text.split_whitespace().filter_map(|word| word.parse().ok());
    [(); 3].map(|()| words.next().unwrap_or(0))
}

/// Two that want the same CPU wait for each other: what is added up between two looks lies between two readings of the kernel's
/// own numbers, and goes on when one of them ends and another comes.
#[test]
#[expect(clippy::print_stderr, reason = "a skip is said")]
fn waits_are_what_the_kernel_counts_between_looks() {
    const BUSY: &str = "printf ready; while :; do :; done";
    let ours = sched_getaffinity(Pid::from_raw(0)).expect("our own CPUs");
    let cpu = (0..CpuSet::count()).find(|cpu| ours.is_set(*cpu).unwrap_or(false)).expect("one at least");
    let busy = || {
        let child = shell(BUSY, Stdio::null());
        let mut one = CpuSet::new();
        one.set(cpu).expect("a CPU of ours");
        let pid = Pid::from_raw(child.id().try_into().expect("a pid"));
        sched_setaffinity(pid, &one).expect("our own child");
        child
    };
    let children = vec![busy(), busy()];
    let pids = [children[0].id(), children[1].id()];
    let mut ended = Ended(children);
    if schedstat(pids[0]) == [0; 3] {
        let in_ci = matches!(std::env::var("CI").as_deref(), Ok("true" | "1"));
        assert!(!in_ci, "CI=true, and this kernel does not count how long threads wait");
        return eprintln!(
            "skipped: this kernel does not count how long threads wait: boot one with CONFIG_SCHED_INFO"
        );
    }
    let tree = container(&pids);
    let mut probe = open(&tree);
    let now = |pids: &[u32]| {
        let all = pids.iter().map(|pid| schedstat(*pid));
        all.fold([0; 3], |sum, one| std::array::from_fn(|place| sum[place] + one[place]))
    };
    let mut look = || {
        let sample = sample_of(&mut *probe);
        SCHEDSTAT.map(|row| sample.get(row).as_u64().unwrap_or_else(|| panic!("{:?}", sample.get(row))))
    };
    let less =
        |a: [u64; 3], b: [u64; 3]| std::array::from_fn::<_, 3, _>(|place| a[place].saturating_sub(b[place]));

    let before = now(&pids);
    assert_eq!(look(), [0; 3], "from the first look on");
    let after = now(&pids);
    await_that("both have run and waited", || less(now(&pids), after).iter().all(|number| *number > 0));
    let least = less(now(&pids), after);
    let seen = look();
    let most = less(now(&pids), before);
    for place in 0..3 {
        assert!((least[place]..=most[place]).contains(&seen[place]), "{place}: {least:?} {seen:?} {most:?}");
    }

    // One ends, and what it did stays; one comes, and all that it did counts.
    drop(Ended(vec![ended.0.remove(0)]));
    ended.0.push(busy());
    let pids = [pids[1], ended.0[1].id()];
    tree.write("sys/fs/cgroup/box/cgroup.procs", lines(&pids[..1]));
    tree.write("sys/fs/cgroup/box/nested/cgroup.procs", lines(&pids[1..]));
    await_that("the new one has run", || schedstat(pids[1])[0] > 0);
    let newcomer = schedstat(pids[1]);
    let later = look();
    for place in 0..3 {
        assert!(later[place] >= seen[place] + newcomer[place], "{place}: {seen:?} {newcomer:?} {later:?}");
    }
}
