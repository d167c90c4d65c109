//! Noticing cgroups that come and go.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::budget::{FdBudget, FdKind};
use crate::host::{Hierarchy, Host};
use crate::inotify::{Event, Worker, create, drain};
use crate::paths::{Found, classify};

/// A change of the cgroup tree.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreeEvent {
    /// A cgroup was made. One that appears just as its parent is being watched may be told twice.
    Created {
        /// Its path in the hierarchy.
        cgroup: String,
        /// The container, if it is one's own cgroup.
        found: Option<Found>,
    },
    /// A cgroup was removed.
    Removed {
        /// Its path in the hierarchy.
        cgroup: String,
        /// The container, if it was one's own cgroup.
        found: Option<Found>,
    },
    /// Changes were lost, or there are more parents than may be watched: scan the tree.
    Overflow,
}

/// Watches the parents of containers' cgroups, on one thread and one inotify instance.
///
/// A cgroup made below a watched one that is no container's (a pod, a slice) is watched too; one that goes is forgotten.
/// [`TreeWatch::start`] watches the one hierarchy in which all containers show; [`TreeWatch::start_everywhere`] all of them,
/// and tells of a cgroup once for each that has it.
#[derive(Debug)]
pub struct TreeWatch {
    shared: Arc<Shared>,
    _worker: Worker,
}

#[derive(Debug)]
struct Shared {
    /// What is watched; a parent is named by the number in here and its path.
    hierarchies: Vec<Hierarchy>,
    budget: Arc<FdBudget>,
    inotify: OwnedFd,
    parents: Mutex<Parents>,
}

#[derive(Debug, Default)]
struct Parents {
    by_watch: HashMap<i32, (usize, String)>,
    by_cgroup: HashMap<(usize, String), i32>,
}

/// Why a parent is not watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// It is gone, or may not be seen: nothing is lost.
    Unseen,
    /// There is no room.
    Full,
}

/// Levels that are followed below a new cgroup.
const DEPTH_MAX: usize = 8;

impl TreeWatch {
    /// Parents watched at most.
    pub const PARENTS_MAX: usize = 8192;

    /// Starts the thread and watches the root, its children, and all slices and users' managers below; [`TreeWatch::add_parents`]
    /// adds the rest. `changed` is called
    /// on the thread and must not block for long.
    ///
    /// # Errors
    /// If the kernel gives no inotify or thread.
    pub fn start(
        host: &Host,
        budget: &Arc<FdBudget>,
        changed: impl Fn(TreeEvent) + Send + 'static,
    ) -> io::Result<TreeWatch> {
        TreeWatch::start_in(host.scanned_hierarchy().cloned().into_iter().collect(), budget, changed)
    }

    /// [`TreeWatch::start`] in every hierarchy that has numbers: on v1 a manager may make a cgroup in some of them only.
    ///
    /// # Errors
    /// As [`TreeWatch::start`].
    pub fn start_everywhere(
        host: &Host,
        budget: &Arc<FdBudget>,
        changed: impl Fn(TreeEvent) + Send + 'static,
    ) -> io::Result<TreeWatch> {
        TreeWatch::start_in(host.distinct_hierarchies().into_iter().cloned().collect(), budget, changed)
    }

    fn start_in(
        hierarchies: Vec<Hierarchy>,
        budget: &Arc<FdBudget>,
        changed: impl Fn(TreeEvent) + Send + 'static,
    ) -> io::Result<TreeWatch> {
        let inotify = create()?;
        let shared =
            Arc::new(Shared { hierarchies, budget: budget.clone(), inotify, parents: Mutex::default() });
        for (at, hierarchy) in shared.hierarchies.iter().enumerate() {
            let root = hierarchy.cgroup("");
            // A root that cannot be watched shows in `parents`.
            let _ = shared.add(at, &root);
            for name in shared.children(at, &root) {
                let child = join(&root, &name);
                if !is_container(&child) {
                    let _ = shared.add(at, &child);
                    shared.add_managers(at, &child, DEPTH_MAX);
                }
            }
        }
        let worker = Worker::start("tree-watch", {
            let shared = shared.clone();
            move |stop| shared.run(&stop, &changed)
        })?;
        Ok(TreeWatch { shared, _worker: worker })
    }

    /// Watches all cgroups above a container's. Returns false if there was no room for one: then a scan now and then has to do.
    pub fn add_parents(&self, found: &Found) -> bool {
        let mut has_room = true;
        for (slash, _) in found.path.match_indices('/') {
            has_room &= self.add_parent(&found.path[..slash.max(1)]);
        }
        has_room
    }

    /// Watches one cgroup for those made and removed in it. Returns false if there was no room, as [`TreeWatch::add_parents`].
    pub fn add_parent(&self, cgroup: &str) -> bool {
        (0..self.shared.hierarchies.len()).all(|at| self.shared.add(at, cgroup) != Err(Refused::Full))
    }

    /// The number of watched parents, in all hierarchies.
    #[must_use]
    pub fn parents(&self) -> usize {
        self.shared.lock().by_watch.len()
    }
}

fn is_container(cgroup: &str) -> bool {
    classify(cgroup).is_some()
}

fn join(parent: &str, name: &str) -> String {
    format!("{}/{name}", parent.trim_end_matches('/'))
}

/// Whether systemd makes cgroups in it that are not of one service.
fn is_manager(cgroup: &str) -> bool {
    let name = cgroup.rsplit('/').next().unwrap_or(cgroup);
    name.ends_with(".slice") || (name.starts_with("user@") && name.ends_with(".service"))
}

fn own(cgroup: &str) -> Option<Found> {
    classify(cgroup).filter(|found| found.path == cgroup)
}

impl Drop for Shared {
    fn drop(&mut self) {
        let parents = self.parents.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.budget.give_back(parents.by_watch.len());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Parents> {
        self.parents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn directory(&self, at: usize, cgroup: &str) -> Option<PathBuf> {
        let hierarchy = self.hierarchies.get(at)?;
        hierarchy.relative(cgroup).map(|relative| Path::new(&*hierarchy.point).join(relative))
    }

    fn children(&self, at: usize, cgroup: &str) -> Vec<String> {
        let Some(Ok(entries)) = self.directory(at, cgroup).map(fs::read_dir) else { return Vec::new() };
        entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    fn add(&self, at: usize, cgroup: &str) -> Result<(), Refused> {
        let directory = self.directory(at, cgroup).ok_or(Refused::Unseen)?;
        let parent = (at, cgroup.to_owned());
        let mut parents = self.lock();
        if parents.by_cgroup.contains_key(&parent) {
            return Ok(());
        }
        if parents.by_watch.len() >= TreeWatch::PARENTS_MAX || !self.budget.take(FdKind::Other) {
            return Err(Refused::Full);
        }
        let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW;
        match inotify::add_watch(&self.inotify, directory, flags) {
            Ok(watch) => {
                parents.by_cgroup.insert(parent.clone(), watch);
                // One directory under two names would share the watch; the later name holds.
                if let Some(before) = parents.by_watch.insert(watch, parent) {
                    parents.by_cgroup.remove(&before);
                    self.budget.give_back(1);
                }
                Ok(())
            }
            Err(errno) => {
                self.budget.give_back(1);
                Err(if errno == Errno::NOSPC || errno == Errno::NOMEM {
                    Refused::Full
                } else {
                    Refused::Unseen
                })
            }
        }
    }

    /// Watches the slices and users' managers in a cgroup, and those in them: there systemd makes the scopes of containers, as of
    /// rootless engines, whose first container may be one to come.
    fn add_managers(&self, at: usize, cgroup: &str, depth: usize) {
        if depth == 0 || !is_manager(cgroup) {
            return;
        }
        for name in self.children(at, cgroup) {
            let child = join(cgroup, &name);
            if is_manager(&child) && !is_container(&child) {
                let _ = self.add(at, &child);
                self.add_managers(at, &child, depth - 1);
            }
        }
    }

    fn run(&self, stop: &OwnedFd, changed: &impl Fn(TreeEvent)) {
        let mut events = Vec::new();
        loop {
            let mut fds = [PollFd::new(&self.inotify, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            if !fds[1].revents().is_empty() {
                return;
            }
            drain(&self.inotify, &mut events);
            for event in events.drain(..) {
                self.event(&event, changed);
            }
        }
    }

    fn event(&self, event: &Event, changed: &impl Fn(TreeEvent)) {
        if event.flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            return changed(TreeEvent::Overflow);
        }
        if event.flags.contains(ReadFlags::IGNORED) {
            let mut parents = self.lock();
            if let Some(parent) = parents.by_watch.remove(&event.watch) {
                parents.by_cgroup.remove(&parent);
                self.budget.give_back(1);
            }
            return;
        }
        if !event.flags.contains(ReadFlags::ISDIR) {
            return;
        }
        let Some((at, parent)) = self.lock().by_watch.get(&event.watch).cloned() else { return };
        let cgroup = join(&parent, &event.name);
        if event.flags.contains(ReadFlags::CREATE) {
            self.created(at, cgroup, DEPTH_MAX, changed);
        } else if event.flags.contains(ReadFlags::DELETE) {
            let found = own(&cgroup);
            changed(TreeEvent::Removed { cgroup, found });
        }
    }

    /// Tells of a new cgroup, and watches it if it may become a parent. What was made in it before the watch stood is told
    /// from its directory.
    fn created(&self, at: usize, cgroup: String, depth_left: usize, changed: &impl Fn(TreeEvent)) {
        let found = own(&cgroup);
        let follow = depth_left > 0 && !is_container(&cgroup);
        changed(TreeEvent::Created { cgroup: cgroup.clone(), found });
        if !follow {
            return;
        }
        match self.add(at, &cgroup) {
            Ok(()) => {
                for name in self.children(at, &cgroup) {
                    self.created(at, join(&cgroup, &name), depth_left - 1, changed);
                }
            }
            Err(Refused::Full) => changed(TreeEvent::Overflow),
            Err(Refused::Unseen) => {}
        }
    }
}
