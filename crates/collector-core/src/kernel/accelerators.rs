//! From the processes that use GPUs to the containers that they are of.

use std::sync::Arc;

use cgroup_reader::{CgroupPath, Controller, Host, Namespace};

use super::is_or_below;
use crate::{
    Absence, Accelerator, AcceleratorProcess, AcceleratorUse, Accelerators, EngineTime, Reading, Sample,
    catalogue::{Dimension, RowId, ids},
};

/// Which processes are a container's: those in its cgroups or below them, as memory and CPU time count.
#[derive(Debug)]
pub(super) struct Own {
    cgroups: CgroupPath,
    /// For paths as they look from a cgroup namespace beside the container's (`/../<id>`).
    id: Option<String>,
}

impl Own {
    fn new(cgroups: &CgroupPath) -> Self {
        Self { cgroups: cgroups.clone(), id: cgroups.container().map(|found| found.id) }
    }

    fn has(&self, process: &CgroupPath) -> bool {
        let is_below = |controller: &Controller| {
            let (Some(own), Some(path)) = (self.cgroups.get(*controller), process.get(*controller)) else {
                return false;
            };
            // The root of a hierarchy that the runtime does not use is nobody's.
            let own = own.trim_end_matches('/');
            !own.is_empty() && is_or_below(path, own)
        };
        let is_named = || self.id.is_some() && process.container().map(|found| found.id) == self.id;
        // A cpuset may be shared with whoever runs beside.
        let telling = Controller::ALL.iter().filter(|controller| **controller != Controller::Cpuset);
        telling.into_iter().any(is_below) || is_named()
    }
}

/// Who tells of GPUs, if anybody does.
#[derive(Debug)]
pub(super) struct Source {
    accelerators: Result<Arc<dyn Accelerators>, Absence>,
}

impl Source {
    pub(super) fn new(accelerators: Option<Arc<dyn Accelerators>>, host: &Host) -> Self {
        let accelerators = match accelerators {
            None => Err(Absence::NotBuilt),
            // The numbers of processes are the host's, and mean others here.
            Some(_) if host.pid_namespace() == Namespace::Private => Err(Absence::NotReachable),
            Some(accelerators) => Ok(accelerators),
        };
        Self { accelerators }
    }

    /// Which processes are those of the container in these cgroups; nobody asks where nobody tells of GPUs.
    pub(super) fn own(&self, cgroups: &CgroupPath) -> Option<Own> {
        self.accelerators.is_ok().then(|| Own::new(cgroups))
    }

    /// What there is; none, with the reason in the table, where it is not known.
    fn look(&self, out: &mut Sample) -> Option<Arc<[Accelerator]>> {
        let looked = match &self.accelerators {
            Ok(accelerators) => accelerators.look(),
            Err(reason) => Err(*reason),
        };
        looked.inspect_err(|reason| out.table_mut(Dimension::Gpu).absence = Some(*reason)).ok()
    }

    /// Fills the rows of a container: an entry for each GPU that its processes use.
    pub(super) fn fill(&self, own: Option<&Own>, out: &mut Sample) {
        let (Some(all), Some(own)) = (self.look(out), own) else { return };
        for accelerator in all.iter() {
            let used = accelerator.used.as_ref().map_err(|reason| *reason);
            let processes = used.and_then(|used| used.processes.as_ref().map_err(|reason| *reason));
            match (used, processes) {
                (Ok(used), Ok(processes)) => {
                    let own: Vec<&AcceleratorProcess> =
                        processes.iter().filter(|process| own.has(&process.cgroups)).collect();
                    if !own.is_empty() {
                        fill_entry(accelerator, used, &own, out);
                    }
                }
                // Whether the container used it is not known.
                (Err(reason), _) | (_, Err(reason)) => out.table_mut(Dimension::Gpu).absence = Some(reason),
            }
        }
    }

    /// Fills the rows of the host: an entry for each GPU.
    pub(super) fn fill_host(&self, out: &mut Sample) {
        let Some(all) = self.look(out) else { return };
        for accelerator in all.iter() {
            let mut set = |row, reading| set(accelerator, row, reading, out);
            set(ids::HOST_GPU_UP, Reading::int(u64::from(accelerator.used.is_ok())));
            if let Ok(used) = &accelerator.used {
                set(ids::HOST_GPU_MEMORY_LIMIT, int(used.memory_total));
                set(ids::HOST_GPU_MEMORY_USAGE, int(used.memory_used));
                set(ids::HOST_GPU_USAGE, int(used.busy));
            }
        }
    }
}

fn fill_entry(
    accelerator: &Accelerator,
    used: &AcceleratorUse,
    own: &[&AcceleratorProcess],
    out: &mut Sample,
) {
    let mut set = |row, reading| set(accelerator, row, reading, out);
    set(ids::GPU_MEMORY_USAGE, sum(own, |process| process.memory));
    let time = |of: fn(EngineTime) -> u64| sum(own, move |process| process.time.map(of));
    set(ids::GPU_USAGE, time(|time| time.general));
    set(ids::GPU_ENCODER_USAGE, time(|time| time.encoder));
    set(ids::GPU_DECODER_USAGE, time(|time| time.decoder));
    set(ids::GPU_PROCESSES, Reading::int(own.len() as u64));
    set(ids::ACCELERATOR_MEMORY_TOTAL, int(used.memory_total));
    set(ids::ACCELERATOR_MEMORY_USED, int(used.memory_used));
    set(ids::ACCELERATOR_DUTY_CYCLE, int(used.busy));
}

/// A sum that lacks a part would be a wrong number.
fn sum(own: &[&AcceleratorProcess], of: impl Fn(&AcceleratorProcess) -> Result<u64, Absence>) -> Reading {
    int(own.iter().try_fold(0_u64, |sum, process| of(process).map(|value| sum.saturating_add(value))))
}

fn int(value: Result<u64, Absence>) -> Reading {
    value.map_or_else(Reading::Absent, Reading::int)
}

fn set(accelerator: &Accelerator, row: RowId, reading: Reading, out: &mut Sample) {
    let Accelerator { id, model, make, .. } = accelerator;
    out.set_in(row, &[id, model, make, id], reading);
}
