//! What the sampler notices between collections: ends, kills, namespaces that change hands; and whom it does not mistake for
//! another.
#![cfg(all(feature = "kernel", target_os = "linux"))]

mod kernel_support;

use std::{
    fs,
    sync::{Arc, mpsc},
    time::Duration,
};

use cgroup_reader::Roots;
use collector_core::{
    Absence, COUNTED, Change, Container, Engine, Group, Groups, KernelOptions, KernelSampler, Network,
    OnSignal, Probe, Reading, Sample, Sampler, Signal, State, catalogue::Dimension, catalogue::ids,
};
use kernel_support::{Machine, cells, id, reading, sample};
use test_support::Tree;

/// Whatever a test awaits is there within this time.
const PATIENCE: Duration = Duration::from_secs(20);

fn sampler(tree: &Tree) -> KernelSampler {
    let mut options = KernelOptions::default();
    options.roots = Roots::under(tree.root());
    KernelSampler::start(&options).expect("a host")
}

fn container(name: &str, pid: Option<u32>) -> Container {
    let mut container = Container::new(id(name), Engine::Docker, State::Running);
    container.pid = pid;
    container
}

/// Hears signals; they come on a thread of the sampler's.
fn listener() -> (OnSignal, mpsc::Receiver<Signal>) {
    let (sender, receiver) = mpsc::channel();
    let on_signal = move |signal| {
        // A test that has heard enough is gone.
        let _ = sender.send(signal);
    };
    (Arc::new(on_signal), receiver)
}

fn read(probe: &mut dyn Probe, groups: Groups) -> Sample {
    let mut sample = Sample::absent(Absence::NotCollected);
    probe.sample(groups, &mut sample).expect("a cgroup that is there");
    sample
}

fn interfaces(probe: &mut dyn Probe) -> Option<Absence> {
    read(probe, Groups::NONE.with(Group::Network)).table(Dimension::Interface).absence
}

#[test]
fn the_end_of_the_init_process_is_told() {
    let (tree, mut processes) = Machine::unpack("v1-5.4");
    let sampler = sampler(&tree);
    let (on_signal, signals) = listener();
    let probe = sampler.open(&container("web", Some(processes[0].pid())), on_signal).expect("a probe");
    assert!(probe.sees_exit() && !probe.has_ended());
    processes[0].end();
    assert_eq!(signals.recv_timeout(PATIENCE), Ok(Signal::Exited));
}

#[test]
fn a_kill_and_an_empty_cgroup_are_told_on_v2() {
    let (tree, processes) = Machine::unpack("v2-6.12");
    let sampler = sampler(&tree);
    let (on_signal, signals) = listener();
    let _probe = sampler.open(&container("web", Some(processes[0].pid())), on_signal).expect("a probe");
    let cgroup = format!("sys/fs/cgroup/docker/{}", id("web"));
    tree.write(&format!("{cgroup}/memory.events"), "low 0\nhigh 0\nmax 1\noom 1\noom_kill 6\n");
    assert_eq!(signals.recv_timeout(PATIENCE), Ok(Signal::MemoryEvent));
    tree.write(&format!("{cgroup}/cgroup.events"), "populated 0\nfrozen 0\n");
    loop {
        match signals.recv_timeout(PATIENCE).expect("the end") {
            Signal::Exited => break,
            // Writing a file tells of it twice: it is emptied first.
            Signal::MemoryEvent => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_had_ended_before_the_watch_says_so() {
    let (tree, mut processes) = Machine::unpack("v2-6.12");
    let sampler = sampler(&tree);
    let (on_signal, signals) = listener();
    processes[0].end();
    let mut probe = sampler.open(&container("web", Some(processes[0].pid())), on_signal).expect("a probe");
    assert!(probe.has_ended(), "nobody will tell of an end that was before");
    let sample = read(&mut *probe, Groups::all());
    assert_eq!(sample.get(ids::CPU_USAGE).as_u64(), Some(357_027_000), "the cgroup is still there");
    assert!(signals.try_recv().is_err());
}

/// What is counted is read of two files and no more: the last sample of what ends races with the removal of its cgroup.
#[test]
fn what_is_counted_is_read_alone() {
    for (machine, files) in [("v1-5.4", 2), ("v2-6.12", 2)] {
        let (tree, processes) = Machine::unpack(machine);
        let sampler = sampler(&tree);
        let mut probe =
            sampler.open(&container("web", Some(processes[0].pid())), listener().0).expect("a probe");
        let before = sampler.kept_fds();
        let mut counted = Sample::of_container(Absence::NotCollected, Groups::NONE);
        probe.count(&mut counted).expect("a cgroup that is there");
        assert_eq!(
            sampler.kept_fds().zip(before).map(|(now, before)| now - before),
            Some(files),
            "{machine}"
        );
        let all = read(&mut *probe, Groups::all());
        for row in COUNTED {
            assert!(all.get(row).value().is_some(), "{machine}");
            assert_eq!(counted.get(row), all.get(row), "{machine}");
        }
        assert_eq!(counted.get(ids::MEMORY_USAGE), Reading::Absent(Absence::NotCollected));
    }
}

/// The collector takes the sample of what had ended as its last: it is not missed.
#[tokio::test]
async fn the_last_sample_of_what_had_ended_is_not_missed() {
    let (tree, mut processes) = Machine::unpack("v2-6.12");
    processes[0].end();
    let machine = Machine::watch(tree, processes).await;
    let running = |name| {
        move |snapshot: &collector_core::Snapshot| reading(snapshot, name, ids::CPU_USAGE).value().is_some()
    };
    machine.collect_until("the others are read", running("plain")).await;
    machine
        .collect_until("web's last sample is taken", |snapshot| {
            reading(snapshot, "web", ids::CPU_USAGE) == Reading::Absent(Absence::NotRunning)
        })
        .await;
    let mut ended = machine.containers[0].clone();
    ended.state = State::Exited;
    ended.exit_code = Some(0);
    machine.tell(Change::Upsert(Box::new(ended)));
    let ended = machine
        .collect_until("web has ended", |snapshot| {
            snapshot.container(&id("web")).is_some_and(|web| web.container.state == State::Exited)
        })
        .await;
    let missed = ended.exporter.get(ids::FINAL_SAMPLES_MISSED);
    assert_eq!(missed, Reading::int(0));
}

#[tokio::test]
async fn a_shared_namespace_changes_hands() {
    let machine = Machine::start("v2-6.12").await;
    let before = machine.settled().await;
    let eth0 = |value| vec![("eth0".to_owned(), Reading::int(value))];
    assert_eq!(cells(sample(&before, "web"), ids::NETWORK_RECEIVE_BYTES), eth0(5212));
    assert_eq!(sample(&before, "side").table(Dimension::Interface).absence, Some(Absence::SharedNetwork));
    let mut ended = machine.containers[0].clone();
    ended.state = State::Exited;
    machine.tell(Change::Upsert(Box::new(ended)));
    let has_it = |snapshot: &collector_core::Snapshot| {
        !cells(sample(snapshot, "side"), ids::NETWORK_RECEIVE_BYTES).is_empty()
    };
    let after = machine.collect_until("side reports what web did", has_it).await;
    assert_eq!(cells(sample(&after, "side"), ids::NETWORK_RECEIVE_BYTES), eth0(5212));
    assert!(cells(sample(&after, "web"), ids::NETWORK_RECEIVE_BYTES).is_empty(), "and web no more");
}

#[test]
fn modes_of_the_network_have_their_reasons() {
    let (tree, processes) = Machine::unpack("v2-6.12");
    let sampler = sampler(&tree);
    let open = |name: &str, pid: Option<u32>, network: Network| {
        let mut container = container(name, pid);
        container.network = network;
        sampler.open(&container, listener().0).expect("a probe")
    };
    let pid = |at: usize| Some(processes[at].pid());
    assert_eq!(interfaces(&mut *open("web", pid(0), Network::Host)), Some(Absence::HostNetwork));
    assert_eq!(interfaces(&mut *open("plain", pid(2), Network::None)), Some(Absence::NoNetwork));
    assert_eq!(interfaces(&mut *open("web", pid(0), Network::Own)), None);
    // The process that the engine did not name is found in the cgroup.
    assert_eq!(interfaces(&mut *open("web", None, Network::Unknown)), None);
    // One that shares the host's namespace, whatever the engine says.
    fs::remove_file(tree.path(&format!("proc/{}/net/dev", processes[2].pid()))).expect("a file of the tree");
    let own = tree.path(&format!("proc/{}/net/dev", processes[2].pid()));
    fs::hard_link(tree.path("proc/1/net/dev"), own).expect("a link");
    assert_eq!(interfaces(&mut *open("plain", pid(2), Network::Own)), Some(Absence::HostNetwork));
}

#[test]
fn a_pid_that_was_given_to_another_is_not_believed() {
    let (tree, processes) = Machine::unpack("v2-6.12");
    let sampler = sampler(&tree);
    // The engine's word is old: the pid is plain's by now.
    let reused = Some(processes[2].pid());
    let mut probe = sampler.open(&container("web", reused), listener().0).expect("a probe");
    let sample = read(&mut *probe, Groups::all());
    assert_eq!(sample.get(ids::MEMORY_USAGE), Reading::int(4_653_056), "web's cgroup, found by its id");
    assert_eq!(sample.table(Dimension::Interface).absence, Some(Absence::NotReachable));
    assert_eq!(sample.table(Dimension::Filesystem).absence, Some(Absence::NotReachable));
    // The same where the source knows the cgroup.
    let mut scanned = container("web", reused);
    scanned.cgroup = Some(format!("/docker/{}", id("web")).into());
    let mut probe = sampler.open(&scanned, listener().0).expect("a probe");
    assert_eq!(interfaces(&mut *probe), Some(Absence::NotReachable));
    let gone =
        Container::new(collector_core::ContainerId::new(&"d".repeat(64)), Engine::Docker, State::Running);
    assert_eq!(sampler.open(&gone, listener().0).err(), Some(Absence::NotRunning));
}

#[test]
fn pids_of_a_foreign_namespace_are_never_opened() {
    let (tree, processes) = Machine::unpack("v2-6.12");
    fs::remove_file(tree.path("proc/self/ns/pid")).expect("a link of the tree");
    std::os::unix::fs::symlink("pid:[4026539999]", tree.path("proc/self/ns/pid")).expect("a link");
    let sampler = sampler(&tree);
    // The number means another process here: plain's.
    let mut probe = sampler.open(&container("web", Some(processes[2].pid())), listener().0).expect("a probe");
    let sample = read(&mut *probe, Groups::all());
    assert_eq!(sample.get(ids::MEMORY_USAGE), Reading::int(4_653_056));
    assert_eq!(sample.table(Dimension::Interface).absence, Some(Absence::NotReachable));
    assert!(probe.sees_exit(), "by the file cgroup.events, which needs no pid");
    // One that came since the tree was walked is found too.
    let new = collector_core::ContainerId::new(&"e".repeat(64));
    tree.write(&format!("sys/fs/cgroup/docker/{new}/memory.current"), "7\n");
    let new = Container::new(new, Engine::Docker, State::Running);
    let mut probe = sampler.open(&new, listener().0).expect("a probe");
    assert_eq!(read(&mut *probe, Groups::all()).get(ids::MEMORY_USAGE), Reading::int(7));
    let gone =
        Container::new(collector_core::ContainerId::new(&"d".repeat(64)), Engine::Docker, State::Running);
    let mut gone = gone;
    gone.pid = Some(processes[2].pid());
    assert_eq!(sampler.open(&gone, listener().0).err(), Some(Absence::NotReachable));
}

/// From a private cgroup namespace `/proc` names the cgroup of another container `/../<id>`, the tree by its whole path.
#[test]
fn a_process_is_known_from_a_private_cgroup_namespace() {
    let (tree, processes) = Machine::unpack("v2-6.12");
    let pid = processes[0].pid();
    tree.write(&format!("proc/{pid}/cgroup"), format!("0::/../{}\n", id("web")));
    let sampler = sampler(&tree);
    let named = container("web", Some(pid));
    let mut scanned = named.clone();
    scanned.cgroup = Some(format!("/docker/{}", id("web")).into());
    for container in [named, scanned] {
        let mut probe = sampler.open(&container, listener().0).expect("a probe");
        assert_eq!(interfaces(&mut *probe), None, "its network is read: {:?}", container.cgroup);
    }
}

/// What is mounted may be only a part of the tree: a container that runs beyond it is out of reach, and not at its end.
#[test]
fn a_cgroup_that_is_not_mounted_is_out_of_reach() {
    let (tree, mut processes) = Machine::unpack("v2-6.12");
    let directory = tree.path(&format!("sys/fs/cgroup/docker/{}", id("web")));
    fs::remove_dir_all(directory).expect("a directory of the tree");
    let sampler = sampler(&tree);
    let pid = processes[0].pid();
    let open = || sampler.open(&container("web", Some(pid)), listener().0).err();
    assert_eq!(open(), Some(Absence::NotReachable));
    let stat = tree.path(&format!("proc/{pid}/cgroup"));
    fs::write(&stat, format!("0::/../{}\n", id("web"))).expect("a file of the tree");
    assert_eq!(open(), Some(Absence::NotReachable), "nor by its id");
    fs::remove_dir_all(tree.path(&format!("proc/{pid}"))).expect("a directory of the tree");
    assert_eq!(open(), Some(Absence::NotRunning), "it has ended");
    processes.clear();
}

/// A process that the engine did not name may be any: its end is not the container's.
#[test]
fn the_end_of_an_unnamed_process_is_no_exit() {
    let (tree, mut processes) = Machine::unpack("v1-5.4");
    let sampler = sampler(&tree);
    let (on_signal, signals) = listener();
    let probe = sampler.open(&container("web", None), on_signal).expect("a probe");
    assert!(!probe.sees_exit(), "v1 alone tells nothing of an empty cgroup");
    processes[0].end();
    let (on_other, others) = listener();
    let _other = sampler.open(&container("plain", Some(processes[2].pid())), on_other).expect("a probe");
    processes[2].end();
    assert_eq!(others.recv_timeout(PATIENCE), Ok(Signal::Exited));
    assert!(signals.try_recv().is_err(), "it would have been told before");
}

#[test]
fn sandboxes_keep_their_numbers_to_themselves() {
    let (tree, processes) = Machine::unpack("v2-6.12");
    let sampler = sampler(&tree);
    for (runtime, expect) in
        [("runc", None), ("runsc", Some(Absence::Sandboxed)), ("kata-qemu", Some(Absence::Sandboxed))]
    {
        let mut container = container("web", Some(processes[0].pid()));
        container.runtime = Some(runtime.into());
        assert_eq!(sampler.open(&container, listener().0).err(), expect, "{runtime}");
    }
}
