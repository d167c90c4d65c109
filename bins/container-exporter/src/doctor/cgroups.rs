//! The cgroup tree: mounted, whole, with its controllers, counting.

use std::fs;
use std::path::Path;

use cgroup_reader::parse::{Mount, mountinfo};
use cgroup_reader::{Controller, Host, Layout, Namespace};

use super::{Finding, machine::Machine};

/// Mounts the host's tree into this container.
const MOUNT_HOST: &str = "start this container with -v /sys/fs/cgroup:/sys/fs/cgroup:ro";

/// A controller that rows of the catalogue need.
struct Needed {
    controller: Controller,
    area: &'static str,
    /// Its name in `/proc/cgroups` and in the mount options of v1.
    v1: &'static str,
    /// Its name in `cgroup.controllers`.
    v2: &'static str,
    /// The option of a kernel that has it.
    config: &'static str,
    /// Whether the exporter is of little use without it.
    is_vital: bool,
}

const NEEDED: [Needed; 4] = [
    Needed {
        controller: Controller::Cpu,
        area: "cpu",
        v1: "cpu",
        v2: "cpu",
        config: "CONFIG_CGROUP_SCHED",
        is_vital: true,
    },
    Needed {
        controller: Controller::Memory,
        area: "memory",
        v1: "memory",
        v2: "memory",
        config: "CONFIG_MEMCG",
        is_vital: true,
    },
    Needed {
        controller: Controller::Blkio,
        area: "block I/O",
        v1: "blkio",
        v2: "io",
        config: "CONFIG_BLK_CGROUP",
        is_vital: false,
    },
    Needed {
        controller: Controller::Pids,
        area: "pids",
        v1: "pids",
        v2: "pids",
        config: "CONFIG_CGROUP_PIDS",
        is_vital: false,
    },
];

/// `cpuacct`, which v2 has in every cgroup.
const CPUACCT: Needed = Needed {
    controller: Controller::Cpuacct,
    area: "cpu",
    v1: "cpuacct",
    v2: "cpu",
    config: "CONFIG_CGROUP_CPUACCT",
    is_vital: true,
};

/// Looks at the tree; also returns it as it was found.
pub(super) fn check(machine: &Machine<'_>) -> (Vec<Finding>, Option<Host>) {
    let host = match Host::detect(&machine.roots) {
        Ok(host) => host,
        Err(error) => {
            let fix = if machine.in_container() {
                MOUNT_HOST
            } else {
                "sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup, or name the directory with `cgroup.root`"
            };
            return (
                vec![Finding::problem("cgroups", error.to_string(), fix), pressure(machine, None)],
                None,
            );
        }
    };
    let root = machine.roots.cgroup.display();
    if let Some(what) = partial(machine, &host) {
        let fix = format!("{MOUNT_HOST} --cgroupns host");
        let findings = vec![Finding::problem("cgroups", what, fix), pressure(machine, None)];
        return (findings, Some(host));
    }
    let mut findings = vec![Finding::ok("cgroups", format!("{} at {root}", host.layout().as_str()))];
    let there = host.controllers();
    let cpuacct = (host.layout() != Layout::V2).then_some(&CPUACCT);
    let needed = || NEEDED.iter().chain(cpuacct);
    let missing: Vec<_> = needed().filter(|needed| !there.contains(&needed.controller)).collect();
    if missing.is_empty() {
        let names: Vec<_> = needed().map(|needed| name(&host, needed)).collect();
        findings.push(Finding::ok("controllers", names.join(", ")));
    }
    findings.extend(missing.iter().map(|needed| absent(machine, &host, needed)));
    findings.extend(not_delegated(&host, &there));
    findings.extend(user_delegation(machine, &host));
    findings.extend(block_io(machine, &host));
    findings.push(pressure(machine, Some(&host)));
    (findings, Some(host))
}

fn name(host: &Host, needed: &Needed) -> &'static str {
    if host.layout() == Layout::V2 { needed.v2 } else { needed.v1 }
}

/// Whether only a part of the tree shows: that of this container.
pub(super) fn partial(machine: &Machine<'_>, host: &Host) -> Option<String> {
    let root = machine.roots.cgroup.display();
    let own = || {
        format!(
            "{root} shows this container's own cgroup and no other: nothing that the kernel counts of others, only their states"
        )
    };
    if host.layout() == Layout::V2 {
        // The root of the unified hierarchy is the one cgroup without this file.
        let point = host.mount(Controller::Core)?;
        return point.join("cgroup.type").exists().then(own);
    }
    let bytes = fs::read(machine.roots.proc.join("self/mountinfo")).ok()?;
    let mounts = || mountinfo(&bytes).filter(|mount| mount.fs_type == "cgroup");
    // A private namespace has its own root: there its own cgroup reads `/`, and all of the tree `/../..`. Only the root of a
    // v1 hierarchy has this file.
    let is_private = host.cgroup_namespace() == Namespace::Private;
    let is_whole = |mount: &Mount| {
        (mount.root == "/" && !is_private) || machine.path(&mount.point).join("release_agent").exists()
    };
    if mounts().any(|mount| is_whole(&mount)) {
        return None;
    }
    if is_private {
        return Some(own());
    }
    let top = mounts().map(|mount| mount.root).min_by_key(String::len)?;
    Some(format!("{root} shows only what is below {top}"))
}

/// The kernel's own word on a controller: `/proc/cgroups`, column `enabled`.
fn is_enabled(machine: &Machine<'_>, name: &str) -> Option<bool> {
    machine.proc("cgroups").lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        (words.first() == Some(&name)).then(|| words.get(3) == Some(&"1"))
    })
}

fn absent(machine: &Machine<'_>, host: &Host, needed: &Needed) -> Finding {
    let name = name(host, needed);
    let parameters = machine.proc("cmdline");
    let has = |parameter: &str| parameters.split_whitespace().any(|word| word == parameter);
    let enabled = is_enabled(machine, needed.v1);
    let (what, fix) = if enabled == Some(true) && host.layout() != Layout::V2 {
        let point = machine.roots.cgroup.join(name);
        let point = point.display();
        let what = format!("the controller {name} is not mounted");
        (what, format!("sudo mkdir -p {point} && sudo mount -t cgroup -o {name} cgroup {point}"))
    } else if enabled == Some(true) {
        let what = format!("the controller {name} is not in cgroup.controllers: a v1 hierarchy holds it");
        (what, machine.kernel_parameter("systemd.unified_cgroup_hierarchy=1"))
    } else {
        let what = format!("the controller {name} is switched off in the kernel");
        let disable = format!("cgroup_disable={}", needed.v1);
        let fix = if needed.controller == Controller::Memory && machine.is_arm && !has("cgroup_enable=memory")
        {
            // The firmware of a Raspberry Pi adds cgroup_disable=memory; what follows it wins.
            machine.kernel_parameter("cgroup_enable=memory cgroup_memory=1")
        } else if has(&disable) {
            format!("remove `{disable}` from the kernel's command line and reboot")
        } else {
            format!("run a kernel with {}=y", needed.config)
        };
        (what, fix)
    };
    if needed.is_vital {
        Finding::problem(needed.area, what, fix)
    } else {
        Finding::warning(needed.area, what, fix)
    }
}

/// On v2 a cgroup has a controller's files only if its parent hands the controller down.
fn not_delegated(host: &Host, there: &[Controller]) -> Option<Finding> {
    if host.layout() != Layout::V2 {
        return None;
    }
    let file = host.mount(Controller::Core)?.join("cgroup.subtree_control");
    let handed_down = fs::read_to_string(&file).ok()?;
    let kept: Vec<_> = NEEDED
        .iter()
        .filter(|needed| there.contains(&needed.controller))
        .map(|needed| needed.v2)
        .filter(|name| !handed_down.split_whitespace().any(|word| word == *name))
        .collect();
    if kept.is_empty() {
        return None;
    }
    let what =
        format!("the root cgroup does not hand down {}: no container has their files", kept.join(", "));
    let plus: Vec<_> = kept.iter().map(|name| format!("+{name}")).collect();
    let fix = format!("echo '{}' | sudo tee {}", plus.join(" "), file.display());
    Some(Finding::warning("controllers", what, fix))
}

/// Rootless engines have what systemd hands down to their user.
fn user_delegation(machine: &Machine<'_>, host: &Host) -> Option<Finding> {
    if host.layout() != Layout::V2 || machine.uid == 0 {
        return None;
    }
    let uid = machine.uid;
    let own = format!("user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers");
    let offered = fs::read_to_string(host.mount(Controller::Core)?.join(own)).ok()?;
    let kept: Vec<_> = NEEDED
        .iter()
        .map(|needed| needed.v2)
        .filter(|name| !offered.split_whitespace().any(|word| word == *name))
        .collect();
    if kept.is_empty() {
        return None;
    }
    let what =
        format!("rootless containers of uid {uid} have no {}: systemd does not delegate it", kept.join(", "));
    let fix = "printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | sudo install -D /dev/stdin \
               /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload, then log in again";
    Some(Finding::warning("controllers", what, fix))
}

/// On v1 recent kernels count block I/O only on disks that had a throttle rule since boot: the others have no line.
fn block_io(machine: &Machine<'_>, host: &Host) -> Option<Finding> {
    if host.layout() == Layout::V2 {
        return None;
    }
    let point = host.mount(Controller::Blkio)?;
    let counted = fs::read_to_string(point.join("blkio.throttle.io_service_bytes_recursive")).ok()?;
    let is_counted = |number: &str| counted.lines().any(|line| line.split(' ').next() == Some(number));
    let disks = used_disks(&machine.proc("diskstats"));
    let off: Vec<_> = disks.iter().filter(|(number, _)| !is_counted(number)).collect();
    let Some((number, _)) = off.first() else {
        let names: Vec<_> = disks.iter().map(|(_, name)| name.as_str()).collect();
        return (!names.is_empty())
            .then(|| Finding::ok("block I/O", format!("counted on {}", names.join(", "))));
    };
    let names: Vec<_> = off.iter().map(|(_, name)| name.as_str()).collect();
    let what = format!(
        "not counted on {}: with cgroup v1 this kernel counts on a disk only after a limit was set there once",
        names.join(", ")
    );
    Some(Finding::warning("block I/O", what, throttle_once(point, number)))
}

/// A rule that hinders nobody, in a cgroup without processes; counting stays on when it is gone. Once after each boot.
fn throttle_once(point: &Path, number: &str) -> String {
    let cgroup = point.join("count-io");
    let cgroup = cgroup.display();
    format!(
        "sudo sh -c 'mkdir {cgroup} && echo \"{number} 1099511627776\" > {cgroup}/blkio.throttle.write_bps_device; rmdir {cgroup}'"
    )
}

/// Whole disks of `/proc/diskstats` that were ever read or written: number and name.
fn used_disks(diskstats: &str) -> Vec<(String, String)> {
    let disk = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [major, minor, name, reads, _, _, _, writes, ..] = words[..] else { return None };
        let is_used = reads != "0" || writes != "0";
        (is_used && is_whole_disk(name)).then(|| (format!("{major}:{minor}"), name.to_owned()))
    };
    diskstats.lines().filter_map(disk).collect()
}

/// `sda`, `vda`, `nvme0n1`, `mmcblk0`; not `sda1`, `nvme0n1p2`, `loop0`, `dm-0`, `zram0`.
fn is_whole_disk(name: &str) -> bool {
    let letters = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_lowercase());
    let digits = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = name.strip_prefix("nvme") {
        return rest.split_once('n').is_some_and(|(device, space)| digits(device) && digits(space));
    }
    if let Some(rest) = name.strip_prefix("mmcblk") {
        return digits(rest);
    }
    ["xvd", "sd", "vd", "hd"].iter().any(|prefix| name.strip_prefix(prefix).is_some_and(letters))
}

/// Pressure stall information: the machine's, and on v1 the containers' in the unified hierarchy beside it.
fn pressure(machine: &Machine<'_>, host: Option<&Host>) -> Finding {
    if !machine.roots.proc.join("pressure").is_dir() {
        let parameters = machine.proc("cmdline");
        let fix = if parameters.split_whitespace().any(|word| word == "psi=1") {
            "run a kernel from 4.20 on with CONFIG_PSI=y".to_owned()
        } else {
            machine.kernel_parameter("psi=1")
        };
        return Finding::warning("pressure", "the kernel keeps no pressure stall information (PSI)", fix);
    }
    if host.is_some_and(|host| host.layout() == Layout::V1) {
        let point = machine.roots.cgroup.join("unified");
        let point = point.display();
        return Finding::warning(
            "pressure",
            "kept for the machine, but not for containers: no unified hierarchy is mounted",
            format!(
                "sudo mkdir -p {point} && sudo mount -t cgroup2 cgroup2 {point}, then start the containers again"
            ),
        );
    }
    Finding::ok("pressure", "kept")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_disks() {
        for name in ["sda", "vdb", "xvda", "nvme0n1", "nvme10n2", "mmcblk0", "sdaa"] {
            assert!(is_whole_disk(name), "{name}");
        }
        for name in ["sda1", "nvme0n1p1", "mmcblk0p2", "loop0", "dm-0", "zram0", "sd", "nvme", "sr0", ""] {
            assert!(!is_whole_disk(name), "{name}");
        }
    }
}
