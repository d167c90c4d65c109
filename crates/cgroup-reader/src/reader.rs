//! Handles: one cgroup's kept descriptors, and the pass over its files.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::budget::{FdBudget, FdKind};
use crate::fill::Lines;
use crate::host::{Host, Process};
use crate::key::{Controller, Place, Version};
use crate::plan::Plan;
use crate::slot::{Absence, Slot, Table};
use crate::tree::Directories;

/// The cgroup was removed: the container has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("failed to read a cgroup: it was removed")]
pub struct Gone;

/// A missing file is looked for again on the next pass, then after twice as many each time, at most so many. (A cgroup may be
/// opened while its directories are still being made.)
const RETRY_PASSES_MAX: u8 = 32;
/// Longer files are cut off, that is, malformed.
const FILE_BYTES_MAX: usize = 16 << 20;
const BUFFER_BYTES: usize = 16 << 10;
/// `seq_file` hands out a page at a time at most: a read that leaves this much of the page was the last, unless a single line
/// is longer than the rest.
const SURELY_ALL_BYTES: usize = 3072;

/// One cgroup (and, if given, the process whose network it uses) that is read again and again.
///
/// It keeps the descriptors of its files as far as the budget goes; a pass over a kept file is one `pread`.
#[derive(Debug)]
pub struct Handle {
    host: Host,
    directories: Directories,
    process: Option<Process>,
    /// Why nothing is read of the process's network, if so.
    network_absence: Option<Absence>,
    budget: Arc<FdBudget>,
    /// How many descriptors were taken from the budget.
    kept: usize,
    /// Removed, as a read found: a cgroup of the same name made since is another one.
    gone: bool,
    files: Vec<File>,
    /// By controller; on v2 all use the last.
    opened: [Option<Opened>; Controller::ALL.len()],
    /// How many of them have a descriptor.
    directories_kept: usize,
}

/// A directory as it was when the handle was opened.
#[derive(Debug)]
struct Opened {
    inode: u64,
    /// To open its files by their names: cgroup file systems walk paths slowly. It is kept until the files are, or as long as these
    /// cannot be.
    fd: Option<OwnedFd>,
}

#[derive(Debug)]
struct File {
    place: Place,
    state: State,
}

#[derive(Debug)]
enum State {
    /// To be opened on this pass and, if the budget allows, kept.
    Closed,
    Kept(OwnedFd),
    Missing {
        reason: Absence,
        passes_left: u8,
        /// How many passes were waited last.
        waited: u8,
    },
}

/// Why there are no bytes.
enum Miss {
    /// The whole cgroup is gone.
    Gone,
    /// The file is missing, likely for long.
    Lasting(Absence),
    /// It may be there next time.
    Passing(Absence),
}

/// The memory of a pass; one per thread, not per handle.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    lines: Lines,
    path: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Handle {
    /// Opens a cgroup; `process` is the container's init process, for its network counters.
    ///
    /// # Errors
    /// [`Gone`] if none of the directories exists.
    pub fn open(
        host: &Host,
        directories: &Directories,
        process: Option<Process>,
        budget: &Arc<FdBudget>,
    ) -> Result<Handle, Gone> {
        let mut handle = Handle {
            host: host.clone(),
            directories: directories.clone(),
            process,
            network_absence: None,
            budget: budget.clone(),
            kept: 0,
            gone: false,
            files: Vec::new(),
            opened: Default::default(),
            directories_kept: 0,
        };
        for controller in Controller::ALL {
            if handle.own(controller) != controller {
                continue;
            }
            handle.opened[controller.index()] = handle.directory_now(controller);
        }
        if handle.opened.iter().all(Option::is_none) { Err(Gone) } else { Ok(handle) }
    }

    /// Why the network is not read; `None` reads it, and `Some` closes what was kept of it.
    pub fn set_network_absence(&mut self, reason: Option<Absence>) {
        self.network_absence = reason;
        for file in &mut self.files {
            if matches!(file.place, Place::Proc(_)) {
                if matches!(file.state, State::Kept(_)) {
                    self.kept -= 1;
                    self.budget.give_back(1);
                }
                file.state = State::Closed;
            }
        }
    }

    /// Closes `net/dev`, which keeps a dead network namespace alive; to be called when the container ends. From then on its
    /// network is [`Absence::NotRunning`].
    pub fn close_network(&mut self) {
        self.set_network_absence(Some(Absence::NotRunning));
    }

    /// The process whose network is read.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        self.process
    }

    /// The directories that are read.
    #[must_use]
    pub fn directories(&self) -> &Directories {
        &self.directories
    }

    /// One pass: fills the plan's slots and tables, each with a number or the reason for none.
    ///
    /// Blocks as long as the kernel does. Slots and tables that the plan does not name stay as they are.
    ///
    /// # Errors
    /// [`Gone`] if the cgroup, or on v1 the first of its directories, was removed. What could still be read is filled, the
    /// rest is [`Absence::NotRunning`]. It is final: open another handle for a new cgroup of the same name. (One that is
    /// removed and made again between two passes is noticed by kept descriptors only.)
    pub fn read(&mut self, plan: &Plan, slots: &mut [Slot], tables: &mut [Table]) -> Result<(), Gone> {
        SCRATCH.with_borrow_mut(|scratch| self.read_with(plan, slots, tables, scratch))
    }

    fn read_with(
        &mut self,
        plan: &Plan,
        slots: &mut [Slot],
        tables: &mut [Table],
        scratch: &mut Scratch,
    ) -> Result<(), Gone> {
        plan.begin(slots, tables);
        let units = self.host.units();
        // The kernel says by itself that a kept file is gone; a copy of its files does not.
        let is_copy = !self.host.inner.is_kernel;
        let was_gone = self.gone || (is_copy && self.host.is_mounted() && !self.is_alive());
        self.gone = was_gone;
        let kept_before = self.kept;
        for (index, fill) in plan.files.iter().enumerate() {
            if was_gone {
                fill.absent(Absence::NotRunning, slots, tables);
                continue;
            }
            let file = self.file(fill.place(), index);
            match self.bytes(file, scratch) {
                Ok(length) => fill.fill(&scratch.bytes[..length], units, &mut scratch.lines, slots, tables),
                Err(Miss::Passing(reason)) => fill.absent(reason, slots, tables),
                Err(Miss::Lasting(reason)) => {
                    fill.absent(reason, slots, tables);
                    self.missing(file, reason);
                }
                Err(Miss::Gone) => {
                    // Go on: on v1 other directories may outlive this one by a moment, and a last reading counts.
                    fill.absent(Absence::NotRunning, slots, tables);
                    self.gone = true;
                }
            }
        }
        let all_are_open = self.kept == kept_before;
        if self.directories_kept > 0
            && !self.budget.is_crowded()
            && (all_are_open || !self.budget.is_plenty())
        {
            self.close_directories();
        }
        if self.gone { Err(Gone) } else { Ok(()) }
    }

    /// The file's index here. Most passes are of the same plan, so the plan's index is a good guess; where it is not, the file is
    /// put there for the next time.
    fn file(&mut self, place: Place, guess: usize) -> usize {
        if self.files.get(guess).is_some_and(|file| file.place == place) {
            return guess;
        }
        let found = self.files.iter().position(|file| file.place == place).unwrap_or_else(|| {
            self.files.push(File { place, state: State::Closed });
            self.files.len() - 1
        });
        let at = guess.min(self.files.len() - 1);
        self.files.swap(found, at);
        at
    }

    /// Reads one file into the scratch buffer; returns its length.
    fn bytes(&mut self, file: usize, scratch: &mut Scratch) -> Result<usize, Miss> {
        let place = self.files[file].place;
        if let (Place::Proc(name), Some(reason)) = (place, self.network_absence)
            && name.starts_with("net/")
        {
            return Err(Miss::Passing(reason));
        }
        match &mut self.files[file].state {
            State::Missing { reason, passes_left: passes_left @ 1.., .. } => {
                *passes_left -= 1;
                return Err(Miss::Passing(*reason));
            }
            State::Kept(fd) => match read_all(fd, place, &mut scratch.bytes) {
                Ok(length) => return Ok(length),
                Err(errno) => {
                    self.close(file, State::Closed);
                    return Err(self.miss(place, errno));
                }
            },
            State::Missing { .. } | State::Closed => {}
        }
        let fd = self.open_file(place, &mut scratch.path)?;
        let length = read_all(&fd, place, &mut scratch.bytes).map_err(|errno| self.miss(place, errno))?;
        let state = if self.budget.take(FdKind::File) {
            self.kept += 1;
            State::Kept(fd)
        } else {
            State::Closed
        };
        self.files[file].state = state;
        Ok(length)
    }

    fn missing(&mut self, file: usize, reason: Absence) {
        let waited = match self.files[file].state {
            State::Missing { waited, .. } => (waited * 2).clamp(1, RETRY_PASSES_MAX),
            State::Closed | State::Kept(_) => 0,
        };
        self.close(file, State::Missing { reason, passes_left: waited, waited });
    }

    fn close(&mut self, file: usize, state: State) {
        if matches!(self.files[file].state, State::Kept(_)) {
            self.kept -= 1;
            self.budget.give_back(1);
        }
        self.files[file].state = state;
    }

    fn open_file(&mut self, place: Place, path: &mut Vec<u8>) -> Result<OwnedFd, Miss> {
        let name = place.file().as_bytes();
        match place {
            Place::Cgroup(controller, _) => return self.open_in_cgroup(controller, place, path),
            Place::System(_) => {
                use std::os::unix::ffi::OsStrExt;
                path.clear();
                path.extend_from_slice(self.host.roots().proc.as_os_str().as_bytes());
                path.push(b'/');
                path.extend_from_slice(name);
            }
            Place::Proc(_) => {
                use std::os::unix::ffi::OsStrExt;
                let Some(process) = self.process else { return Err(Miss::Passing(Absence::NotRunning)) };
                if !self.host.is_running(process) {
                    return Err(Miss::Lasting(Absence::NotRunning));
                }
                path.clear();
                path.extend_from_slice(self.host.proc_file(process.pid, place.file()).as_os_str().as_bytes());
            }
        }
        open_at(CWD, path).map_err(|errno| self.miss(place, errno))
    }

    /// Through the directory's descriptor if the budget has one to spare, else by the whole path.
    fn open_in_cgroup(
        &mut self,
        controller: Controller,
        place: Place,
        path: &mut Vec<u8>,
    ) -> Result<OwnedFd, Miss> {
        let own = self.own(controller);
        let Some(opened) = &self.opened[own.index()] else {
            return match self.directory_now(own) {
                // It came later, as the unified directory of a cgroup may.
                Some(opened) => {
                    self.opened[own.index()] = Some(opened);
                    self.open_in_cgroup(controller, place, path)
                }
                None => Err(Miss::Lasting(Absence::NoController)),
            };
        };
        // While files are kept the directory is used once per file, which is not worth a descriptor for long.
        if opened.fd.is_none() && self.budget.is_crowded() {
            let fd = self.keep_directory(controller, path);
            if let Some(opened) = &mut self.opened[own.index()] {
                opened.fd = fd;
            }
        }
        let fd = self.opened[own.index()].as_ref().and_then(|opened| opened.fd.as_ref());
        let result = match fd {
            Some(fd) => open_at(fd, place.file().as_bytes()),
            None => {
                self.directories.write_path(controller, path);
                path.push(b'/');
                path.extend_from_slice(place.file().as_bytes());
                open_at(CWD, path)
            }
        };
        result.map_err(|errno| self.miss(place, errno))
    }

    /// What an error of the kernel's means.
    fn miss(&self, place: Place, errno: Errno) -> Miss {
        match (place, errno) {
            (_, Errno::ACCESS | Errno::PERM) => Miss::Lasting(Absence::PermissionDenied),
            // The process has no descriptors left; others may free some.
            (_, Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Miss::Passing(Absence::NotCollected),
            (_, Errno::ISDIR | Errno::SPIPE | Errno::FBIG) => Miss::Lasting(Absence::Malformed),
            // Nothing is found where the file system itself is not mounted any more; the cgroup lives on, and what is kept of it
            // is read on.
            (Place::Cgroup(..), Errno::NOENT) if !self.host.is_mounted() => {
                Miss::Passing(Absence::NotReachable)
            }
            (Place::Cgroup(..), Errno::NOENT | Errno::NODEV) if !self.is_alive() => Miss::Gone,
            (Place::Cgroup(controller, _), Errno::NOENT | Errno::NODEV) => {
                Miss::Lasting(self.why_missing(controller))
            }
            (Place::Proc(_), Errno::SRCH) => Miss::Lasting(Absence::NotRunning),
            (Place::Proc(_), Errno::NOENT)
                if !self.process.is_some_and(|process| self.host.is_running(process)) =>
            {
                Miss::Lasting(Absence::NotRunning)
            }
            _ => Miss::Lasting(Absence::NoFile),
        }
    }

    /// On v2 a file is also missing where its controller is not enabled for the cgroup.
    fn why_missing(&self, controller: Controller) -> Absence {
        if self.host.version() == Version::V1 {
            return Absence::NoFile;
        }
        let Some(name) = controller.v2_name() else { return Absence::NoFile };
        let enabled = self.directories.path(Controller::Core).map(|path| path.join("cgroup.controllers"));
        match enabled.map(std::fs::read_to_string) {
            Some(Ok(enabled)) if !enabled.split_whitespace().any(|word| word == name) => {
                Absence::NoController
            }
            _ => Absence::NoFile,
        }
    }

    /// Whether the directories that were there at the beginning still are, and are the same ones.
    fn is_alive(&self) -> bool {
        Controller::ALL.into_iter().all(|controller| match &self.opened[controller.index()] {
            Some(opened) => self.inode_now(controller) == Some(opened.inode),
            None => true,
        })
    }

    /// The directory that is there now, with a descriptor of it where there is plenty.
    fn directory_now(&mut self, controller: Controller) -> Option<Opened> {
        let plenty = self.budget.is_plenty();
        let fd = plenty.then(|| self.keep_directory(controller, &mut Vec::with_capacity(160))).flatten();
        let inode = match &fd {
            Some(fd) => rustix::fs::fstat(fd).ok().map(|stat| stat.st_ino),
            None => self.inode_now(controller),
        };
        // The kernel tells the inode of whatever is open.
        inode.map(|inode| Opened { inode, fd })
    }

    /// A descriptor of the directory, if the budget has one to spare and the directory is there.
    fn keep_directory(&mut self, controller: Controller, path: &mut Vec<u8>) -> Option<OwnedFd> {
        if !self.directories.write_path(controller, path) || !self.budget.take(FdKind::Other) {
            return None;
        }
        match open_directory(path) {
            Ok(fd) => {
                self.kept += 1;
                self.directories_kept += 1;
                Some(fd)
            }
            Err(_) => {
                self.budget.give_back(1);
                None
            }
        }
    }

    fn close_directories(&mut self) {
        self.opened.iter_mut().flatten().for_each(|opened| opened.fd = None);
        self.kept -= self.directories_kept;
        self.budget.give_back(self.directories_kept);
        self.directories_kept = 0;
    }

    fn inode_now(&self, controller: Controller) -> Option<u64> {
        let mut path = Vec::with_capacity(160);
        if !self.directories.write_path(controller, &mut path) {
            return None;
        }
        rustix::fs::stat(path.as_slice()).ok().map(|stat| stat.st_ino)
    }

    /// On v2 all controllers share one directory.
    fn own(&self, controller: Controller) -> Controller {
        if self.host.version() == Version::V2 { Controller::Core } else { controller }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.budget.give_back(self.kept);
    }
}

fn open_at(directory: impl rustix::fd::AsFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    loop {
        match rustix::fs::openat(&directory, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

fn open_directory(path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

/// Reads a file from its beginning to its end; returns its length.
fn read_all(fd: &OwnedFd, place: Place, buffer: &mut Vec<u8>) -> Result<usize, Errno> {
    if buffer.is_empty() {
        buffer.resize(BUFFER_BYTES, 0);
    }
    let mut length = 0;
    loop {
        let room = buffer.len() - length;
        let read = match rustix::io::pread(fd, &mut buffer[length..], length as u64) {
            Ok(read) => read,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        };
        length += read;
        let is_all = match place {
            // Printed as a whole, so a short read was the last.
            Place::Cgroup(_, name) if name != "cgroup.procs" && name != "cgroup.threads" => read < room,
            _ => read == 0 || (read < room && read < SURELY_ALL_BYTES),
        };
        if is_all {
            return Ok(length);
        }
        if length == buffer.len() {
            if length >= FILE_BYTES_MAX {
                return Err(Errno::FBIG);
            }
            buffer.resize(length * 2, 0);
        }
    }
}
