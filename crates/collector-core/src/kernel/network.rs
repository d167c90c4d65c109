//! Whose network a container uses: each namespace is read once, for its owner.

use std::{collections::HashMap, fs, sync::Mutex};

use cgroup_reader::{Controller, Directories, Host, Process};

use super::lock;
use crate::{Absence, Network};

/// Which watch owns which network namespace.
#[derive(Debug, Default)]
pub(super) struct Namespaces(Mutex<HashMap<u64, u64>>);

impl Namespaces {
    /// Why the container's network is not read; `None` if it is its own to report.
    pub(super) fn claim(
        &self,
        host: &Host,
        token: u64,
        process: Option<Process>,
        mode: &Network,
    ) -> Option<Absence> {
        match mode {
            Network::Host => return Some(Absence::HostNetwork),
            Network::Container(_) => return Some(Absence::SharedNetwork),
            Network::Own | Network::None | Network::Unknown => {}
        }
        let Some(process) = process else { return Some(Absence::NotReachable) };
        // What the engine does not say (a scanned container, a new mode) the namespaces tell.
        if host.uses_host_network(process.pid).unwrap_or(false) {
            return Some(Absence::HostNetwork);
        }
        let Ok(inode) = host.network_namespace(process.pid) else { return None };
        let mut owners = lock(&self.0);
        match owners.get(&inode) {
            Some(owner) if *owner != token => Some(Absence::SharedNetwork),
            _ => {
                owners.insert(inode, token);
                None
            }
        }
    }

    /// The watch has ended: the namespace is free for another to report.
    pub(super) fn release(&self, token: u64) {
        lock(&self.0).retain(|_, owner| *owner != token);
    }
}

/// Any process of a cgroup, where the engine did not name the init process: they share its namespaces mostly.
pub(super) fn first_process(host: &Host, directories: &Directories) -> Option<Process> {
    let controllers = [Controller::Core, Controller::Memory, Controller::Cpu, Controller::Pids];
    controllers.into_iter().find_map(|controller| {
        let procs = fs::read_to_string(directories.path(controller)?.join("cgroup.procs")).ok()?;
        host.process(procs.lines().next()?.parse().ok()?).ok()
    })
}
