//! Whose network a container uses: each namespace is read once, for its owner.
//!
//! Containers that share a namespace (a pod, `--network container:X`) all show the same counters, so one of them reports:
//! the one whose namespace it is, as far as the engine says, else the one whose process is the oldest (a pod's sandbox).
//! When it ends, the next one takes over.
//!
//! Namespaces are told apart by the inode of `/proc/<pid>/net/dev`, which the kernel makes one of per namespace. Unlike the
//! link `ns/net` it can be seen without ptrace rights over the process.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    os::unix::fs::MetadataExt,
    sync::Mutex,
    time::{Duration, Instant},
};

use cgroup_reader::{Controller, Directories, Host, Process, read_text};

use super::lock;
use crate::{Absence, Network};

/// Who only borrows a namespace waits this long for its owner: when the exporter starts, containers are opened in any order.
const WAIT_FOR_OWNER: Duration = Duration::from_secs(2);

/// What is known of one container's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Membership {
    /// It is not read, for this reason; or, with none, whoever reads it finds out.
    Fixed(Option<Absence>),
    /// It lives in this namespace.
    Member(u64),
}

/// Who lives in a namespace. The first in this order reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    /// The engine says that the namespace is another container's.
    borrows: bool,
    start_ticks: u64,
    token: u64,
    since: Instant,
}

/// Who lives in which network namespace.
#[derive(Debug, Default)]
pub(super) struct Namespaces(Mutex<HashMap<u64, BTreeSet<Member>>>);

impl Namespaces {
    /// Notes a container; [`Namespaces::leave`] forgets it.
    pub(super) fn join(
        &self,
        host: &Host,
        token: u64,
        process: Option<Process>,
        mode: &Network,
        now: Instant,
    ) -> Membership {
        if *mode == Network::Host {
            return Membership::Fixed(Some(Absence::HostNetwork));
        }
        let borrows = matches!(mode, Network::Container(_));
        let Some(process) = process else { return Membership::Fixed(Some(Absence::NotReachable)) };
        let Some(namespace) = namespace_of(host, process.pid) else {
            return Membership::Fixed(borrows.then_some(Absence::SharedNetwork));
        };
        // What the engine does not say (a scanned container, one that borrows from such a one) the namespaces tell.
        if namespace_of(host, 1) == Some(namespace) {
            return Membership::Fixed(Some(Absence::HostNetwork));
        }
        let member = Member { borrows, start_ticks: process.start_ticks, token, since: now };
        lock(&self.0).entry(namespace).or_default().insert(member);
        Membership::Member(namespace)
    }

    /// Why the container's network is not read now; `None` if it is its own to report.
    pub(super) fn absence(&self, token: u64, membership: Membership, now: Instant) -> Option<Absence> {
        let namespace = match membership {
            Membership::Fixed(reason) => return reason,
            Membership::Member(namespace) => namespace,
        };
        let known = lock(&self.0);
        let owner = known.get(&namespace).and_then(BTreeSet::first)?;
        let waits = owner.borrows && now.saturating_duration_since(owner.since) < WAIT_FOR_OWNER;
        (owner.token != token || waits).then_some(Absence::SharedNetwork)
    }

    /// The watch has ended: the namespace is free for another to report.
    pub(super) fn leave(&self, token: u64, membership: Membership) {
        let Membership::Member(namespace) = membership else { return };
        let mut known = lock(&self.0);
        if let Some(members) = known.get_mut(&namespace) {
            members.retain(|member| member.token != token);
            if members.is_empty() {
                known.remove(&namespace);
            }
        }
    }
}

fn namespace_of(host: &Host, pid: u32) -> Option<u64> {
    let file = host.roots().proc.join(pid.to_string()).join("net/dev");
    fs::metadata(file).ok().map(|metadata| metadata.ino())
}

/// Any process of a cgroup, where the engine did not name the init process: they share its namespaces mostly.
pub(super) fn first_process(host: &Host, directories: &Directories) -> Option<Process> {
    let controllers = [Controller::Core, Controller::Memory, Controller::Cpu, Controller::Pids];
    controllers.into_iter().find_map(|controller| {
        let procs = read_text(&directories.path(controller)?.join("cgroup.procs"))?;
        host.process(procs.lines().next()?.parse().ok()?).ok()
    })
}

#[cfg(test)]
mod tests {
    use cgroup_reader::Roots;

    use super::*;
    use crate::ContainerId;

    /// Processes by pid; those with the same number share a namespace.
    fn machine(processes: &[(u32, u32)]) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().expect("a directory");
        let at = |path: String| root.path().join(path);
        fs::create_dir_all(at("sys/fs/cgroup".to_owned())).expect("a directory");
        fs::write(at("sys/fs/cgroup/cgroup.controllers".to_owned()), "cpu\n").expect("a file");
        for (pid, namespace) in processes {
            let (shared, own) = (at(format!("net{namespace}")), at(format!("proc/{pid}/net/dev")));
            fs::create_dir_all(own.parent().expect("a parent")).expect("a directory");
            if !shared.exists() {
                fs::write(&shared, "").expect("a file");
            }
            fs::hard_link(&shared, &own).expect("a link");
        }
        let host = Host::detect(&Roots::under(root.path())).expect("a host");
        (root, host)
    }

    fn process(pid: u32) -> Option<Process> {
        Some(Process { pid, start_ticks: u64::from(pid) })
    }

    const SHARED: Option<Absence> = Some(Absence::SharedNetwork);

    #[test]
    fn the_oldest_of_a_pod_reports_and_the_next_takes_over() {
        let (_root, host) = machine(&[(1, 0), (10, 7), (11, 7), (12, 7), (20, 8)]);
        let namespaces = Namespaces::default();
        let now = Instant::now();
        let join = |token, pid| namespaces.join(&host, token, process(pid), &Network::Unknown, now);
        let (young, old, middle, other) = (join(1, 12), join(2, 10), join(3, 11), join(4, 20));
        let absences = |tokens: &[(u64, Membership)]| -> Vec<Option<Absence>> {
            tokens.iter().map(|(token, membership)| namespaces.absence(*token, *membership, now)).collect()
        };
        assert_eq!(absences(&[(1, young), (2, old), (3, middle), (4, other)]), [SHARED, None, SHARED, None]);
        namespaces.leave(2, old);
        assert_eq!(absences(&[(1, young), (3, middle)]), [SHARED, None]);
        namespaces.leave(3, middle);
        assert_eq!(absences(&[(1, young)]), [None]);
        namespaces.leave(1, young);
        namespaces.leave(4, other);
        assert!(lock(&namespaces.0).is_empty(), "namespaces are forgotten with their last member");
    }

    #[test]
    fn a_borrower_waits_for_the_owner_and_inherits() {
        let (_root, host) = machine(&[(1, 0), (10, 7), (11, 7)]);
        let namespaces = Namespaces::default();
        let begin = Instant::now();
        let later = begin + WAIT_FOR_OWNER;
        let lender = Network::Container(ContainerId::new("x"));
        // The borrower is the older process, and is opened first.
        let borrower = namespaces.join(&host, 1, process(10), &lender, begin);
        assert_eq!(namespaces.absence(1, borrower, begin), SHARED, "its owner may come yet");
        assert_eq!(namespaces.absence(1, borrower, later), None, "nobody else watches that namespace");
        let owner = namespaces.join(&host, 2, process(11), &Network::Own, later);
        assert_eq!(namespaces.absence(2, owner, later), None);
        assert_eq!(namespaces.absence(1, borrower, later), SHARED);
        namespaces.leave(2, owner);
        assert_eq!(namespaces.absence(1, borrower, later), None, "the owner has ended");
    }

    #[test]
    fn what_is_not_the_containers_own() {
        let (_root, host) = machine(&[(1, 0), (10, 0), (11, 7)]);
        let namespaces = Namespaces::default();
        let now = Instant::now();
        let lender = Network::Container(ContainerId::new("x"));
        let fixed = |reason| Membership::Fixed(Some(reason));
        for (pid, mode, expect) in [
            (Some(11), &Network::Host, fixed(Absence::HostNetwork)),
            (Some(10), &Network::Own, fixed(Absence::HostNetwork)),
            (Some(10), &Network::Unknown, fixed(Absence::HostNetwork)),
            (Some(10), &lender, fixed(Absence::HostNetwork)),
            (None, &Network::Own, fixed(Absence::NotReachable)),
            (Some(99), &lender, fixed(Absence::SharedNetwork)),
            (Some(99), &Network::Own, Membership::Fixed(None)),
        ] {
            let process = pid.and_then(process);
            assert_eq!(namespaces.join(&host, 1, process, mode, now), expect, "{pid:?} {mode:?}");
        }
    }
}
