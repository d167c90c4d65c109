//! Noticing the end of containers while their cgroups can still be read.
//!
//! When the init process exits, its cgroup lives for some 10 ms more, and at the engine's own event it is gone. A pidfd
//! becomes readable at the exit; on v2 `memory.events` announces an out-of-memory kill and, on v2 and hybrid hosts,
//! `cgroup.events` that the last process left.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::budget::{FdBudget, FdKind};
use crate::host::{Host, Layout, Process};
use crate::inotify::{Event, Worker, create, drain};
use crate::key::Controller;
use crate::tree::Directories;

/// What happened to a watched container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExitSignal {
    /// Its init process ended, or its cgroup has no process any more. Sent once per watch.
    Exited,
    /// Its `memory.events` changed.
    MemoryEvent,
}

/// Why a container cannot be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// It has ended already: read it now.
    #[error("failed to watch a container: it has ended")]
    Ended,
}

/// What a watch consists of: less than wanted where the kernel is old, the budget is used up or rights are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Watched {
    /// The init process, by a pidfd (Linux 5.3).
    pub process: bool,
    /// `memory.events` (v2).
    pub memory_events: bool,
    /// `cgroup.events` (v2 and hybrid).
    pub cgroup_events: bool,
}

impl Watched {
    /// Whether the end of the container will be noticed.
    #[must_use]
    pub fn sees_exit(self) -> bool {
        self.process || self.cgroup_events
    }
}

/// Watches any number of containers on one thread.
///
/// Each pidfd and each watched file counts in the fd budget.
#[derive(Debug)]
pub struct ExitWatch {
    shared: Arc<Shared>,
    _worker: Worker,
}

#[derive(Debug)]
struct Shared {
    host: Host,
    budget: Arc<FdBudget>,
    epoll: OwnedFd,
    inotify: OwnedFd,
    watches: Mutex<Watches>,
}

#[derive(Debug, Default)]
struct Watches {
    /// Ids, unlike tokens, are never used again: a late event finds nothing.
    next_id: u64,
    by_token: HashMap<u64, u64>,
    by_id: HashMap<u64, Watch>,
    /// Which watches an inotify watch serves: several if a caller watches one cgroup twice.
    files: HashMap<i32, Vec<(u64, FileKind)>>,
}

#[derive(Debug)]
struct Watch {
    token: u64,
    exited: bool,
    pidfd: Option<OwnedFd>,
    files: Vec<i32>,
    cgroup_events: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileKind {
    Memory,
    Cgroup,
}

/// The nice value of the watching thread, which sleeps nearly always.
const EXIT_NICE: i32 = -15;

/// Ids below are watches.
const STOP: u64 = u64::MAX;
const INOTIFY: u64 = u64::MAX - 1;

impl ExitWatch {
    /// Starts the thread. `signal` is called on it with the token of the watch; it must not block for long, for it delays the
    /// others. It may call [`ExitWatch::watch`] and [`ExitWatch::unwatch`].
    ///
    /// # Errors
    /// If the kernel gives no epoll, inotify or thread.
    pub fn start(
        host: &Host,
        budget: &Arc<FdBudget>,
        signal: impl Fn(u64, ExitSignal) + Send + 'static,
    ) -> io::Result<ExitWatch> {
        let shared = Arc::new(Shared {
            host: host.clone(),
            budget: budget.clone(),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            inotify: create()?,
            watches: Mutex::default(),
        });
        epoll::add(&shared.epoll, &shared.inotify, EventData::new_u64(INOTIFY), EventFlags::IN)?;
        let worker = Worker::start("exit-watch", {
            let shared = shared.clone();
            move |stop| {
                // An ended cgroup lives for some milliseconds: on a busy machine a thread that must wait its turn comes too
                // late. On Linux this is the thread's own nice value; without the right to lower it all stays as it is.
                let _ = rustix::process::setpriority_process(None, EXIT_NICE);
                shared.run(&stop, &signal);
            }
        })?;
        Ok(ExitWatch { shared, _worker: worker })
    }

    /// Watches a container under a token, instead of what the token stood for before.
    ///
    /// `process` is the container's init process, as the engine names it: the first processes in a new cgroup are the
    /// runtime's, and end at once. Leave it out where it is not known, or its pid means nothing here (a foreign pid namespace).
    ///
    /// # Errors
    /// [`WatchError::Ended`] if the process has ended, or without one, if the cgroup is empty; then nothing is watched.
    pub fn watch(
        &self,
        token: u64,
        process: Option<Process>,
        directories: &Directories,
    ) -> Result<Watched, WatchError> {
        self.shared.watch(token, process, directories)
    }

    /// Ends a watch; unknown tokens are ignored.
    pub fn unwatch(&self, token: u64) {
        self.shared.unwatch(&mut self.shared.lock(), token);
    }

    /// The number of watched containers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.lock().by_id.len()
    }

    /// Whether nothing is watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let watches = self.watches.get_mut().unwrap_or_else(PoisonError::into_inner);
        let held = watches.by_id.values().map(|watch| watch.files.len() + usize::from(watch.pidfd.is_some()));
        self.budget.give_back(held.sum());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(
        &self,
        token: u64,
        process: Option<Process>,
        directories: &Directories,
    ) -> Result<Watched, WatchError> {
        let mut watches = self.lock();
        self.unwatch(&mut watches, token);
        let pidfd = match process {
            Some(process) => self.open_pidfd(process)?,
            None => None,
        };
        let id = watches.next_id;
        watches.next_id += 1;
        let mut watched = Watched::default();
        if let Some(pidfd) = &pidfd {
            watched.process = epoll::add(&self.epoll, pidfd, EventData::new_u64(id), EventFlags::IN).is_ok();
        }
        let file = |controller, name| directories.path(controller).map(|path| path.join(name));
        let cgroup_events = file(Controller::Core, "cgroup.events").unwrap_or_default();
        let mut files = Vec::new();
        if self.host.layout() == Layout::V2
            && let Some(path) = file(Controller::Memory, "memory.events")
        {
            watched.memory_events = self.watch_file(&mut watches, id, FileKind::Memory, &path, &mut files);
        }
        if self.host.layout() != Layout::V1 {
            watched.cgroup_events =
                self.watch_file(&mut watches, id, FileKind::Cgroup, &cgroup_events, &mut files);
        }
        watches.by_token.insert(token, id);
        watches.by_id.insert(id, Watch { token, exited: false, pidfd, files, cgroup_events });
        drop(watches);
        // What ended before the watch stood is announced by no event.
        if !watched.process && watched.cgroup_events && self.is_empty(id) {
            self.unwatch(&mut self.lock(), token);
            return Err(WatchError::Ended);
        }
        Ok(watched)
    }

    /// `None` if there is no room or no such call; the order, open and then compare the start, excludes a reused pid.
    fn open_pidfd(&self, process: Process) -> Result<Option<OwnedFd>, WatchError> {
        let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        if !self.budget.take(FdKind::Other) {
            return Ok(None);
        }
        let opened = pidfd_open(pid, PidfdFlags::empty());
        let ended = matches!(opened, Err(Errno::SRCH)) || !self.host.is_running(process);
        if ended || opened.is_err() {
            self.budget.give_back(1);
        }
        if ended { Err(WatchError::Ended) } else { Ok(opened.ok()) }
    }

    fn watch_file(
        &self,
        watches: &mut Watches,
        id: u64,
        kind: FileKind,
        path: &Path,
        files: &mut Vec<i32>,
    ) -> bool {
        if !self.budget.take(FdKind::Other) {
            return false;
        }
        match inotify::add_watch(&self.inotify, path, WatchFlags::MODIFY | WatchFlags::DELETE_SELF) {
            Ok(watch) => {
                watches.files.entry(watch).or_default().push((id, kind));
                files.push(watch);
                true
            }
            Err(_) => {
                self.budget.give_back(1);
                false
            }
        }
    }

    fn unwatch(&self, watches: &mut Watches, token: u64) {
        let Some(mut watch) = watches.by_token.remove(&token).and_then(|id| watches.by_id.remove(&id)) else {
            return;
        };
        self.close_pidfd(&mut watch);
        self.budget.give_back(watch.files.len());
        for file in watch.files {
            let Some(served) = watches.files.get_mut(&file) else { continue };
            served.retain(|(id, _)| watches.by_id.contains_key(id));
            if served.is_empty() {
                watches.files.remove(&file);
                // It fails if the file is gone, and the watch with it.
                let _ = inotify::remove_watch(&self.inotify, file);
            }
        }
    }

    fn close_pidfd(&self, watch: &mut Watch) {
        if let Some(pidfd) = watch.pidfd.take() {
            let _ = epoll::delete(&self.epoll, &pidfd);
            self.budget.give_back(1);
        }
    }

    fn run(&self, stop: &OwnedFd, signal: &impl Fn(u64, ExitSignal)) {
        if epoll::add(&self.epoll, stop, EventData::new_u64(STOP), EventFlags::IN).is_err() {
            return;
        }
        let mut ready = Vec::with_capacity(64);
        let mut changes = Vec::new();
        loop {
            ready.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            for event in &ready {
                match event.data.u64() {
                    STOP => return,
                    INOTIFY => {
                        drain(&self.inotify, &mut changes);
                        for change in changes.drain(..) {
                            self.changed(&change, signal);
                        }
                    }
                    id => self.exited(id, signal),
                }
            }
        }
    }

    /// Reports the exit, once. The lock is not held while the caller is told.
    fn exited(&self, id: u64, signal: &impl Fn(u64, ExitSignal)) {
        let token = {
            let mut watches = self.lock();
            let Some(watch) = watches.by_id.get_mut(&id) else { return };
            self.close_pidfd(watch);
            if std::mem::replace(&mut watch.exited, true) {
                return;
            }
            watch.token
        };
        signal(token, ExitSignal::Exited);
    }

    fn changed(&self, change: &Event, signal: &impl Fn(u64, ExitSignal)) {
        if change.flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            return self.overflowed(signal);
        }
        let served = self.lock().files.get(&change.watch).cloned().unwrap_or_default();
        let removed = change.flags.intersects(ReadFlags::DELETE_SELF | ReadFlags::IGNORED);
        for (id, kind) in served {
            match kind {
                FileKind::Cgroup if removed || self.is_empty(id) => self.exited(id, signal),
                FileKind::Memory if !removed => {
                    let token = self.lock().by_id.get(&id).map(|watch| watch.token);
                    if let Some(token) = token {
                        signal(token, ExitSignal::MemoryEvent);
                    }
                }
                _ => {}
            }
        }
        if change.flags.contains(ReadFlags::IGNORED) {
            self.forget_file(change.watch);
        }
    }

    /// The kernel removed a watch, and may use its number again.
    fn forget_file(&self, file: i32) {
        let mut watches = self.lock();
        for (id, _) in watches.files.remove(&file).unwrap_or_default() {
            if let Some(watch) = watches.by_id.get_mut(&id) {
                let before = watch.files.len();
                watch.files.retain(|kept| *kept != file);
                self.budget.give_back(before - watch.files.len());
            }
        }
    }

    /// Events were lost: ask each container.
    fn overflowed(&self, signal: &impl Fn(u64, ExitSignal)) {
        let ids: Vec<u64> = self.lock().by_id.keys().copied().collect();
        for id in ids {
            let memory = {
                let watches = self.lock();
                let is_memory =
                    |file| watches.files.get(file).is_some_and(|all| all.contains(&(id, FileKind::Memory)));
                watches
                    .by_id
                    .get(&id)
                    .filter(|watch| watch.files.iter().any(is_memory))
                    .map(|watch| watch.token)
            };
            if let Some(token) = memory {
                signal(token, ExitSignal::MemoryEvent);
            }
            if self.is_empty(id) {
                self.exited(id, signal);
            }
        }
    }

    /// Whether `cgroup.events` says that no process is left, or is gone itself. It also changes when a container is paused.
    fn is_empty(&self, id: u64) -> bool {
        let path = match self.lock().by_id.get(&id) {
            Some(watch) if !watch.cgroup_events.as_os_str().is_empty() => watch.cgroup_events.clone(),
            _ => return false,
        };
        match fs::read_to_string(path) {
            Ok(text) => text.lines().any(|line| line == "populated 0"),
            Err(error) => {
                matches!(error.kind(), io::ErrorKind::NotFound)
                    || error.raw_os_error() == Some(Errno::NODEV.raw_os_error())
            }
        }
    }
}
