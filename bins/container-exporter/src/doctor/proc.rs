//! What this process may see and use: other users' processes, the host's namespaces, open files, inotify.

use std::fs;
use std::io::ErrorKind;

use cgroup_reader::parse::mountinfo;
use cgroup_reader::{Host, Namespace, scan};

use super::{Finding, cgroups, machine::Machine};

/// Files that are kept open for one container: about a dozen, its directories and its process.
const FILES_PER_CONTAINER: u64 = 20;
/// Watches for one container: its events on v2, its parents.
const WATCHES_PER_CONTAINER: u64 = 3;
/// Files beside the containers': connections, directories, the machine's own.
const FILES_BESIDE: u64 = 512;
/// What the limits should have room for even where few containers run.
const CONTAINERS_MIN: u64 = 100;

pub(super) fn check(machine: &Machine<'_>, host: Option<&Host>, engine_answers: bool) -> Vec<Finding> {
    let mut findings = vec![hidepid(machine)];
    let mut containers = 0;
    if let Some(host) = host {
        findings.push(pid_namespace(host));
        // Where no other cgroup shows, how they would be found says nothing.
        if cgroups::partial(machine, host).is_none() {
            findings.push(cgroup_namespace(host));
        }
        containers = scan(host).len() as u64;
    }
    // In a private pid namespace process 1 is this container's.
    if host.is_none_or(|host| host.pid_namespace() != Namespace::Private) {
        findings.extend(network(machine, engine_answers));
    }
    findings.push(files(machine, containers));
    findings.push(inotify(machine, containers));
    findings
}

/// proc(5): with hidepid, `/proc` hides the processes of others, and with them their networks and exits.
fn hidepid(machine: &Machine<'_>) -> Finding {
    let point = machine.roots.proc.display().to_string();
    let Ok(bytes) = fs::read(machine.roots.proc.join("self/mountinfo")) else {
        let fix = if machine.in_container() {
            "start this container with -v /proc:/host/proc:ro, and set `cgroup.proc_root = \"/host/proc\"`"
        } else {
            "sudo mount -t proc proc /proc, or name the directory with `cgroup.proc_root`"
        };
        return Finding::problem("proc", format!("{point} is no proc file system that can be read"), fix);
    };
    let mounts: Vec<_> = mountinfo(&bytes).filter(|mount| mount.fs_type == "proc").collect();
    // The last mount at a point hides those before it.
    let mount = mounts.iter().rfind(|mount| mount.point == point || mount.point == "/proc");
    let option =
        |name: &str| mount.and_then(|mount| mount.options().find_map(|option| option.strip_prefix(name)));
    let hidden = option("hidepid=").filter(|value| !matches!(*value, "0" | "off"));
    let gid: Option<u32> = option("gid=").and_then(|gid| gid.parse().ok());
    let Some(hidden) = hidden else { return Finding::ok("proc", format!("{point} shows all processes")) };
    if machine.uid == 0 || gid.is_some_and(|gid| machine.groups.contains(&gid)) {
        return Finding::ok("proc", format!("{point} has hidepid={hidden}, but not for this process"));
    }
    let what = format!("{point} is mounted with hidepid={hidden}: other users' processes cannot be read");
    let fix = match (gid, machine.in_container()) {
        (Some(gid), true) => format!("start this container with --group-add {gid}"),
        (Some(gid), false) => {
            let group = machine.name_of("/etc/group", gid).unwrap_or_else(|| gid.to_string());
            let user = machine.name_of("/etc/passwd", machine.uid).unwrap_or_else(|| "$USER".to_owned());
            format!("sudo usermod -aG {group} {user}, then log in again")
        }
        (None, _) => {
            let own = machine.groups.last().copied().unwrap_or(machine.uid);
            format!(
                "sudo mount -o remount,hidepid={hidden},gid={own} /proc on the host, or without hiding: sudo mount -o remount,hidepid=0 /proc"
            )
        }
    };
    Finding::problem("proc", what, fix)
}

fn pid_namespace(host: &Host) -> Finding {
    match host.pid_namespace() {
        Namespace::Private => Finding::warning(
            "pid namespace",
            "this container's own: networks and writable layers of containers cannot be read, nor their last samples where no \
             event of cgroups tells of an end",
            "start this container with --pid host (in Compose: pid: host)",
        ),
        Namespace::Initial => Finding::ok("pid namespace", "the host's"),
        Namespace::Unknown => Finding::ok("pid namespace", "not told by this kernel"),
    }
}

fn cgroup_namespace(host: &Host) -> Finding {
    match host.cgroup_namespace() {
        Namespace::Private => Finding::warning(
            "cgroup namespace",
            "this container's own: cgroups are found by their ids, which costs a walk through the tree",
            "start this container with --cgroupns host (in Compose: cgroup: host)",
        ),
        Namespace::Initial => Finding::ok("cgroup namespace", "the host's"),
        Namespace::Unknown => Finding::ok("cgroup namespace", "not told by this kernel"),
    }
}

/// namespaces(7): the link of another user's process needs CAP_SYS_PTRACE. What the engine tells makes up for it.
fn network(machine: &Machine<'_>, engine_answers: bool) -> Option<Finding> {
    match (machine.read_link)(&machine.roots.proc.join("1/ns/net")) {
        Ok(_) => Some(Finding::ok("network", "namespaces can be told apart")),
        Err(error) if error.kind() == ErrorKind::PermissionDenied && engine_answers => {
            let what = "namespaces of others cannot be told apart; the engine says whose they are";
            Some(Finding::ok("network", what))
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let fix = if machine.in_container() {
                "start this container with --cap-add SYS_PTRACE"
            } else {
                "sudo setcap cap_sys_ptrace=+ep \"$(command -v container-exporter)\""
            };
            let what = "namespaces cannot be told apart, so a container on the host's network shows the host's bytes";
            Some(Finding::warning("network", what, fix))
        }
        Err(_) => None,
    }
}

fn files(machine: &Machine<'_>, containers: u64) -> Finding {
    let needed = containers.max(CONTAINERS_MIN) * FILES_PER_CONTAINER + FILES_BESIDE;
    match machine.nofile_max {
        Some(limit) if limit < needed => {
            let wanted = needed.next_power_of_two();
            let fix = if machine.in_container() {
                format!("start this container with --ulimit nofile={wanted}:{wanted}")
            } else {
                format!("set LimitNOFILE={wanted} in the service's unit, or in the shell: ulimit -n {wanted}")
            };
            let what = format!(
                "at most {limit} may be open: with {} containers some are opened anew each time, which costs four times as much",
                containers.max(CONTAINERS_MIN)
            );
            Finding::warning("open files", what, fix)
        }
        Some(limit) => Finding::ok("open files", format!("{limit} may be open, for {containers} containers")),
        None => Finding::ok("open files", "any number may be open"),
    }
}

fn inotify(machine: &Machine<'_>, containers: u64) -> Finding {
    let limit = |name: &str| machine.proc(&format!("sys/fs/inotify/{name}")).trim().parse::<u64>().ok();
    let raise = |name: &str, to: u64| {
        format!(
            "echo 'fs.inotify.{name} = {to}' | sudo tee -a /etc/sysctl.d/90-container-exporter.conf && sudo sysctl --system"
        )
    };
    if let Err(error) = (machine.inotify)() {
        let instances = limit("max_user_instances").unwrap_or(128);
        let what = format!("no instance is left of the {instances} that a user may have ({error})");
        return Finding::warning("inotify", what, raise("max_user_instances", (instances * 4).max(512)));
    }
    let needed = containers.max(CONTAINERS_MIN) * WATCHES_PER_CONTAINER;
    match limit("max_user_watches") {
        Some(watches) if watches < needed => {
            let what = format!("a user may have {watches} watches: new containers are found later, by lists");
            Finding::warning("inotify", what, raise("max_user_watches", needed.next_power_of_two().max(8192)))
        }
        Some(watches) => Finding::ok("inotify", format!("{watches} watches")),
        None => Finding::ok("inotify", "at hand"),
    }
}
