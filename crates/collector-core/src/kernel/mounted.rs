//! The kernel's numbers while the cgroup file system comes and goes.

use std::sync::{Arc, Mutex};

use cgroup_reader::{Host, HostError};

use super::{KernelError, KernelOptions, KernelSampler, lock};
use crate::{Absence, Container, Groups, OnSignal, OnTree, Probe, Sample, Sampler, source::TreeChange};

/// A [`KernelSampler`] for as long as there are cgroups, and another when they are mounted elsewhere.
///
/// Without them nothing can be opened, which is [`Absence::NotReachable`]; what was opened before goes on, since the kernel
/// keeps open files alive. Each [`Sampler::cgroups_up`] looks; a loss and its end are logged once.
#[derive(Debug)]
pub struct MountedSampler {
    options: KernelOptions,
    current: Mutex<Current>,
}

struct Current {
    /// The last one, also while its mounts are gone; `None` if there never was any.
    sampler: Option<Arc<KernelSampler>>,
    is_up: bool,
    /// Whom to tell of the tree.
    on_tree: Option<OnTree>,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sampler, is_up, .. } = self;
        f.debug_struct("Current").field("sampler", sampler).field("is_up", is_up).finish_non_exhaustive()
    }
}

impl MountedSampler {
    /// Finds the cgroup mounts, or says that there are none and goes on looking.
    ///
    /// # Errors
    ///
    /// The kernel gives no more threads or descriptors.
    pub fn start(options: KernelOptions) -> Result<Self, KernelError> {
        let sampler = match KernelSampler::start(&options) {
            Ok(sampler) => Some(Arc::new(sampler)),
            Err(KernelError::Host(error @ HostError::NoCgroups(_))) => {
                say_lost(&error.to_string());
                None
            }
            Err(error) => return Err(error),
        };
        let is_up = sampler.is_some();
        Ok(Self { options, current: Mutex::new(Current { sampler, is_up, on_tree: None }) })
    }

    /// The host as it was found; `None` while there are no cgroups.
    #[must_use]
    pub fn host(&self) -> Option<Host> {
        let current = lock(&self.current);
        current.sampler.as_ref().filter(|_| current.is_up).map(|sampler| sampler.host().clone())
    }

    fn sampler(&self) -> Option<Arc<KernelSampler>> {
        lock(&self.current).sampler.clone()
    }

    /// Looks whether the cgroups are where they were, or anywhere.
    fn look(&self) -> bool {
        let mut current = lock(&self.current);
        let stands = current.sampler.as_ref().is_some_and(|sampler| sampler.host().is_mounted());
        if stands && current.is_up {
            return true;
        }
        let told = current.on_tree.clone();
        let is_back = current.look_again(&self.options);
        drop(current);
        if let (true, Some(on_tree)) = (is_back, told) {
            // What came meanwhile was seen by nobody.
            on_tree(TreeChange::Overflow);
        }
        is_back
    }
}

impl Current {
    /// The mounts have changed: keeps the sampler if they are the same again, else makes one of the new ones.
    fn look_again(&mut self, options: &KernelOptions) -> bool {
        let was_up = self.is_up;
        match Host::detect(&options.roots) {
            Ok(host) => {
                let same = self.sampler.as_ref().is_some_and(|sampler| sampler.host().has_mounts_of(&host));
                if !same && let Err(error) = self.renew(options) {
                    self.is_up = false;
                    if was_up {
                        say_lost(&error.to_string());
                    }
                    return false;
                }
                self.is_up = true;
                tracing::info!(
                    layout = host.layout().as_str(),
                    "cgroups are mounted (again): numbers of all containers can be read"
                );
            }
            Err(error) => {
                self.is_up = false;
                if was_up {
                    say_lost(&error.to_string());
                }
            }
        }
        self.is_up
    }

    fn renew(&mut self, options: &KernelOptions) -> Result<(), KernelError> {
        let sampler = Arc::new(KernelSampler::start(options)?);
        if let Some(on_tree) = &self.on_tree {
            sampler.watch_tree(Arc::clone(on_tree));
        }
        self.sampler = Some(sampler);
        Ok(())
    }
}

fn say_lost(reason: &str) {
    tracing::warn!(
        "containers that come from now on have no numbers, looking again with each scrape: {reason}"
    );
}

impl Sampler for MountedSampler {
    fn open(&self, container: &Container, on_signal: OnSignal) -> Result<Box<dyn Probe>, Absence> {
        let current = lock(&self.current);
        let sampler = current.sampler.clone().filter(|_| current.is_up);
        drop(current);
        sampler.ok_or(Absence::NotReachable)?.open(container, on_signal)
    }

    fn host(&self, groups: Groups, out: &mut Sample) {
        if let Some(sampler) = self.sampler() {
            Sampler::host(&*sampler, groups, out);
        }
    }

    fn root(&self, groups: Groups, out: &mut Sample) -> bool {
        self.sampler().is_some_and(|sampler| sampler.root(groups, out))
    }

    fn watch_tree(&self, on_tree: OnTree) {
        let sampler = {
            let mut current = lock(&self.current);
            current.on_tree = Some(Arc::clone(&on_tree));
            current.sampler.clone()
        };
        if let Some(sampler) = sampler {
            sampler.watch_tree(on_tree);
        }
    }

    fn kept_fds(&self) -> Option<u64> {
        self.sampler()?.kept_fds()
    }

    fn cgroups_up(&self) -> Option<bool> {
        Some(self.look())
    }
}
