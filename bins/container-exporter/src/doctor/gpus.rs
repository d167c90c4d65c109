//! Whether NVIDIA's GPUs can be asked, where somebody wants their numbers.

use cgroup_reader::{Host, Namespace};
use collector_core::{Absence, Group};

use super::{Finding, machine::Machine};
use crate::config::Settings;

const AREA: &str = "gpus";

/// Says nothing where the group is off.
pub(super) fn check(machine: &Machine<'_>, settings: &Settings, host: Option<&Host>) -> Vec<Finding> {
    if !settings.metrics.groups.has(Group::Gpu) {
        return Vec::new();
    }
    let Some(found) = (machine.gpus)() else {
        // No fault: whoever wants all groups wants what this build has.
        return vec![Finding::ok(
            AREA,
            "left out of this build: the group gpu is absent with the reason not_built; cargo build --release --features gpu has it",
        )];
    };
    let mut findings = vec![match found {
        Ok(gpus) => Finding::ok(
            AREA,
            format!("libnvidia-ml.so.1 tells of {gpus} GPU{}", if gpus == 1 { "" } else { "s" }),
        ),
        Err(reason) => unanswered(reason, machine.in_container()),
    }];
    if host.is_some_and(|host| host.pid_namespace() == Namespace::Private) {
        findings.push(Finding::warning(
            AREA,
            "the driver names processes by the host's numbers, which do not show here: whose they are is not known",
            "start this container with --pid host",
        ));
    }
    findings
}

/// As docs/gpus.md has the reasons.
fn unanswered(reason: Absence, in_container: bool) -> Finding {
    let (what, fix) = match (reason, in_container) {
        (Absence::NoLibrary, false) => (
            "libnvidia-ml.so.1 is not there, or not fit",
            "install NVIDIA's driver with its tools: nvidia-smi must work here",
        ),
        (Absence::NoLibrary, true) => (
            "libnvidia-ml.so.1 is not there, or not fit",
            "start this container, of an image with glibc, with --gpus all -e NVIDIA_DRIVER_CAPABILITIES=utility",
        ),
        (Absence::NoDriver, _) => (
            "libnvidia-ml.so.1 is there, and the kernel's driver does not answer it, or is of another version",
            "sudo modprobe nvidia; after an update of the driver a reboot; nvidia-smi must work on the host",
        ),
        (Absence::PermissionDenied, false) => (
            "libnvidia-ml.so.1 is there, and its devices may not be used",
            "ls -l /dev/nvidiactl /dev/nvidia0 shows who may; sudo nvidia-smi makes them where they are missing",
        ),
        (Absence::PermissionDenied, true) => (
            "libnvidia-ml.so.1 is there, and its devices may not be used",
            "start this container with --gpus all, or --device /dev/nvidiactl --device /dev/nvidia0 and so on",
        ),
        (Absence::Timeout | Absence::Stale, _) => (
            "libnvidia-ml.so.1 is there, and does not come back",
            "sudo dmesg | grep -i xid shows a GPU that hangs; sudo systemctl start nvidia-persistenced, where it only starts slowly",
        ),
        _ => (
            "libnvidia-ml.so.1 is there, and answers with an error",
            "nvidia-smi must work here; it says which error",
        ),
    };
    Finding::warning(AREA, what, fix)
}
