//! A look into every process of a container: threads by state, how long they waited, zombies, descriptors, sockets, limits.
//!
//! It costs some fifteen system calls for each process and some more for each thread and descriptor, so it is bounded: by
//! numbers for one container, and by time for all of them. What is past a bound is absent as [`Absence::TooMany`], each number
//! by itself: of a container with 50,000 threads the processes and their descriptors are still known.
//!
//! Processes come and go meanwhile. One that vanished between the list and the look counts as far as it was seen.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use cgroup_reader::{
    Controller, Directories, Host, Process, Slot, Version,
    parse::{self, TaskState},
    read_file,
};

use super::{
    lock,
    reason::{is_gone, reason},
    schedstat::Schedstat,
};
use crate::{
    Absence, Reading, Sample, Value,
    catalogue::{RowId, ULIMITS, ids},
};

/// Processes of one container that are looked into: more than any service has, and some 50 ms.
const PROCESSES_MAX: usize = 2_048;
/// Threads of one container whose state is read, and children that are looked at for zombies.
const TASKS_MAX: u64 = 8_192;
/// Descriptors of one container that are told apart.
const DESCRIPTORS_MAX: u64 = 32_768;
/// Cgroups below one container's that are looked into: a systemd in it has some hundred.
const CGROUPS_MAX: usize = 1_024;
/// Longer lists are not read to their end: these are some 130,000 pids.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Time that one container's processes may take.
const TIME_MAX: Duration = Duration::from_millis(200);
/// Time that all containers together may take at once: a fifth of the longest deadline of a collection.
const ALLOWANCE_MAX: Duration = Duration::from_secs(2);
/// The allowance grows by this part of the time that passes, so that frequent collections stay below a fifth of a core.
const ALLOWANCE_SHARE: u32 = 5;

/// The time that looks into processes and sockets may take, over all containers.
#[derive(Debug)]
pub(super) struct Allowance(Mutex<(Instant, Duration)>);

impl Default for Allowance {
    fn default() -> Self {
        Self(Mutex::new((Instant::now(), ALLOWANCE_MAX)))
    }
}

impl Allowance {
    /// What there is to spend.
    fn left(&self, now: Instant) -> Duration {
        let mut state = lock(&self.0);
        let (at, left) = *state;
        let grown = left.saturating_add(now.saturating_duration_since(at) / ALLOWANCE_SHARE);
        *state = (now.max(at), grown.min(ALLOWANCE_MAX));
        state.1
    }

    /// When one container is to stop; `None` where there is no time at all.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        let left = self.left(now);
        (!left.is_zero()).then(|| now + left.min(TIME_MAX))
    }

    pub(super) fn spend(&self, time: Duration) {
        let mut state = lock(&self.0);
        state.1 = state.1.saturating_sub(time);
    }
}

/// Fills the rows that a look into the processes finds.
pub(super) fn fill(
    host: &Host,
    directories: &Directories,
    init: Option<Process>,
    allowance: &Allowance,
    schedstat: &mut Schedstat,
    out: &mut Sample,
) {
    let began = Instant::now();
    limits(host, init, out);
    schedstat.begin();
    let mut look = Look {
        proc: &host.roots().proc,
        until: allowance.until(began),
        bytes: Vec::new(),
        tasks: 0,
        states: Ok([0; 5]),
        zombies: Ok(0),
        descriptors: Ok((0, 0)),
        schedstat,
        waits: Ok(()),
    };
    match pids(host, directories, &mut look.bytes) {
        Ok(pids) => {
            out.set(ids::PROCESSES, Reading::int(pids.len() as u64));
            look.all(&pids);
        }
        Err(reason) => {
            out.set(ids::PROCESSES, Reading::Absent(reason));
            look.give_up(reason);
        }
    }
    look.fill(out);
    allowance.spend(began.elapsed());
}

/// The rows of the states, in the order of [`Look::states`].
const STATES: [RowId; 5] = [
    ids::TASKS_RUNNING,
    ids::TASKS_SLEEPING,
    ids::TASKS_UNINTERRUPTIBLE,
    ids::TASKS_STOPPED,
    ids::TASKS_ZOMBIE,
];
const ZOMBIE: usize = 4;

/// The rows of [`Schedstat`]'s sums, in their order.
const SCHEDSTAT: [RowId; 3] =
    [ids::CPU_SCHEDSTAT_RUN, ids::CPU_SCHEDSTAT_RUNQUEUE, ids::CPU_SCHEDSTAT_RUN_PERIODS];

/// A look into processes, and what it has found so far: each number until there is a reason for none.
struct Look<'a> {
    proc: &'a Path,
    /// When to stop; `None` where there is no time at all.
    until: Option<Instant>,
    bytes: Vec<u8>,
    /// Threads and children looked at.
    tasks: u64,
    /// Threads by state.
    states: Result<[u64; 5], Absence>,
    /// Zombies that a process of the container is the parent of: cgroup.procs does not list them.
    zombies: Result<u64, Absence>,
    /// Descriptors, and the sockets among them.
    descriptors: Result<(u64, u64), Absence>,
    schedstat: &'a mut Schedstat,
    /// Whether every thread's times could be noted there.
    waits: Result<(), Absence>,
}

impl Look<'_> {
    fn all(&mut self, pids: &[u32]) {
        if pids.len() > PROCESSES_MAX {
            return self.give_up(Absence::TooMany);
        }
        // A pid of another namespace is shown as 0.
        if pids.contains(&0) {
            return self.give_up(Absence::NotReachable);
        }
        for pid in pids {
            if self.is_over() {
                return self.give_up(Absence::TooMany);
            }
            match self.process(*pid, pids) {
                Err(error) if !is_gone(&error) => return self.give_up(reason(&error)),
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// All numbers that are not known yet are absent for this reason.
    fn give_up(&mut self, reason: Absence) {
        self.give_up_threads(reason);
        self.descriptors = self.descriptors.and(Err(reason));
    }

    /// What is told thread by thread is not known of all.
    fn give_up_threads(&mut self, reason: Absence) {
        self.states = self.states.and(Err(reason));
        self.zombies = self.zombies.and(Err(reason));
        self.waits = self.waits.and(Err(reason));
    }

    fn is_over(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() >= until)
    }

    fn process(&mut self, pid: u32, pids: &[u32]) -> io::Result<()> {
        let directory = self.proc.join(pid.to_string());
        read(&directory.join("stat"), &mut self.bytes)?;
        match parse::task(&self.bytes) {
            Ok(task) => self.threads(&directory, task, pids)?,
            Err(_) => self.give_up_threads(Absence::Malformed),
        }
        self.descriptors(&directory);
        Ok(())
    }

    fn threads(&mut self, directory: &Path, task: parse::Task, pids: &[u32]) -> io::Result<()> {
        if self.states.is_err() && self.zombies.is_err() && self.waits.is_err() {
            return Ok(());
        }
        if self.tasks.saturating_add(task.threads) > TASKS_MAX {
            self.give_up_threads(Absence::TooMany);
            return Ok(());
        }
        let tasks = directory.join("task");
        if task.threads <= 1 {
            self.tasks += 1;
            self.count(task.state);
            let only = tasks.join(directory.file_name().unwrap_or_default());
            self.waits(&only, task.start_ticks);
            self.children(&only, pids);
            return Ok(());
        }
        for thread in fs::read_dir(tasks)? {
            self.tasks += 1;
            if self.tasks > TASKS_MAX || self.is_over() {
                self.give_up_threads(Absence::TooMany);
                return Ok(());
            }
            let thread = thread?.path();
            match read(&thread.join("stat"), &mut self.bytes) {
                Ok(()) => match parse::task(&self.bytes) {
                    Ok(task) => {
                        self.count(task.state);
                        self.waits(&thread, task.start_ticks);
                    }
                    Err(_) => self.give_up_threads(Absence::Malformed),
                },
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(error),
            }
            self.children(&thread, pids);
        }
        Ok(())
    }

    fn count(&mut self, state: TaskState) {
        let Ok(states) = &mut self.states else { return };
        match state {
            TaskState::Running => states[0] += 1,
            TaskState::Sleeping => states[1] += 1,
            TaskState::Uninterruptible => states[2] += 1,
            TaskState::Stopped => states[3] += 1,
            // The first thread of a process ended before the others.
            TaskState::Zombie => states[ZOMBIE] += 1,
            TaskState::Dead => {}
        }
    }

    /// Notes how long a thread ran and waited.
    fn waits(&mut self, thread: &Path, start_ticks: u64) {
        if self.waits.is_err() {
            return;
        }
        let tid = thread.file_name().and_then(|name| name.to_str()?.parse().ok());
        let Some(tid) = tid else {
            self.waits = Err(Absence::Malformed);
            return;
        };
        self.waits = match read(&thread.join("schedstat"), &mut self.bytes) {
            Ok(()) => match parse::schedstat(&self.bytes) {
                Ok(times) => {
                    self.schedstat.see(tid, start_ticks, times);
                    Ok(())
                }
                Err(_) => Err(Absence::Malformed),
            },
            // The kernel has no such file, or the thread is gone.
            Err(error) if is_gone(&error) && thread.exists() => Err(Absence::NoFile),
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => Err(reason(&error)),
        };
    }

    /// Zombies among the children of one thread. Whoever is in the list lives, or is a first thread that ended early.
    fn children(&mut self, thread: &Path, pids: &[u32]) {
        let Ok(zombies) = &mut self.zombies else { return };
        match read(&thread.join("children"), &mut self.bytes) {
            Ok(()) => {}
            // The kernel has no such file, or the thread is gone.
            Err(error) if is_gone(&error) => {
                if thread.exists() {
                    self.zombies = Err(Absence::NoFile);
                }
                return;
            }
            Err(error) => {
                self.zombies = Err(reason(&error));
                return;
            }
        }
        let Ok(children) = parse::u64_list(&self.bytes) else {
            self.zombies = Err(Absence::Malformed);
            return;
        };
        for child in children {
            if u32::try_from(child).is_ok_and(|child| pids.binary_search(&child).is_ok()) {
                continue;
            }
            self.tasks += 1;
            if self.tasks > TASKS_MAX {
                self.zombies = Err(Absence::TooMany);
                return;
            }
            let stat = self.proc.join(child.to_string()).join("stat");
            let is_zombie = read(&stat, &mut self.bytes).is_ok()
                && parse::task(&self.bytes).is_ok_and(|task| task.state == TaskState::Zombie);
            *zombies += u64::from(is_zombie);
        }
    }

    fn descriptors(&mut self, directory: &Path) {
        let Ok((all, sockets)) = self.descriptors else { return };
        self.descriptors = match self.descriptors_of(directory, all) {
            Ok(Some((own, own_sockets))) => Ok((all + own, sockets + own_sockets)),
            Ok(None) => Err(Absence::TooMany),
            Err(error) if is_gone(&error) && !directory.exists() => return,
            Err(error) if is_gone(&error) => Err(Absence::NoFile),
            Err(error) => Err(reason(&error)),
        };
    }

    /// Descriptors and sockets of one process; `None` past a bound.
    fn descriptors_of(&self, directory: &Path, before: u64) -> io::Result<Option<(u64, u64)>> {
        let (mut all, mut sockets) = (0, 0);
        for entry in fs::read_dir(directory.join("fd"))? {
            let path = entry?.path();
            all += 1;
            if before + all > DESCRIPTORS_MAX || (all % 256 == 0 && self.is_over()) {
                return Ok(None);
            }
            let is_socket =
                fs::read_link(path).is_ok_and(|to| to.as_os_str().as_bytes().starts_with(b"socket:["));
            sockets += u64::from(is_socket);
        }
        Ok(Some((all, sockets)))
    }

    fn fill(&mut self, out: &mut Sample) {
        let waits = self.waits.and_then(|()| self.schedstat.finish());
        let readings = match waits {
            Ok([run, waited, periods]) => {
                let [run, waited] = [run, waited].map(|nanos| Reading::Value(Value::Nanos(nanos)));
                [run, waited, Reading::int(periods)]
            }
            Err(reason) => [Reading::Absent(reason); 3],
        };
        SCHEDSTAT.into_iter().zip(readings).for_each(|(row, reading)| out.set(row, reading));
        for (place, row) in STATES.into_iter().enumerate() {
            let found = match (self.states, self.zombies) {
                (Ok(states), Ok(zombies)) if place == ZOMBIE => Ok(states[ZOMBIE] + zombies),
                (Ok(_), Err(reason)) if place == ZOMBIE => Err(reason),
                (states, _) => states.map(|states| states[place]),
            };
            out.set(row, found.map_or_else(Reading::Absent, Reading::int));
        }
        let (descriptors, sockets) = match self.descriptors {
            Ok((all, sockets)) => (Reading::int(all), Reading::int(sockets)),
            Err(reason) => (Reading::Absent(reason), Reading::Absent(reason)),
        };
        out.set(ids::FILE_DESCRIPTORS, descriptors);
        out.set(ids::SOCKETS, sockets);
    }
}

/// The processes of a cgroup and all below it, sorted.
fn pids(host: &Host, directories: &Directories, bytes: &mut Vec<u8>) -> Result<Vec<u32>, Absence> {
    let controllers = match host.version() {
        Version::V2 => [Controller::Core; 3],
        Version::V1 => [Controller::Memory, Controller::Pids, Controller::Cpu],
    };
    let top = controllers
        .into_iter()
        .find_map(|controller| directories.path(controller).filter(|path| path.is_dir()));
    let mut pending: Vec<PathBuf> = vec![top.ok_or(Absence::NotRunning)?];
    let (mut found, mut seen) = (Vec::new(), 0);
    while let Some(directory) = pending.pop() {
        seen += 1;
        if seen + pending.len() > CGROUPS_MAX {
            return Err(Absence::TooMany);
        }
        match read(&directory.join("cgroup.procs"), bytes) {
            Ok(()) => {}
            // It was removed, or is threaded, which lists its processes further up.
            Err(error) if seen > 1 && (is_gone(&error) || error.raw_os_error() == Some(NOT_SUPPORTED)) => {
                continue;
            }
            Err(error) => return Err(reason(&error)),
        }
        let listed = parse::u64_list(bytes).map_err(|_| Absence::Malformed)?;
        found.extend(listed.into_iter().filter_map(|pid| u32::try_from(pid).ok()));
        add_below(&directory, &mut pending);
    }
    found.sort_unstable();
    // The kernel lists a process twice that was moved meanwhile; those of another namespace are all 0.
    found.dedup_by(|a, b| a == b && *a != 0);
    Ok(found)
}

/// `EOPNOTSUPP`, for which `io::ErrorKind` has no stable name.
const NOT_SUPPORTED: i32 = rustix::io::Errno::OPNOTSUPP.raw_os_error();

/// Adds the directories in a directory; mostly its links tell that there are none, which saves listing its files.
fn add_below(directory: &Path, pending: &mut Vec<PathBuf>) {
    let may_have = fs::metadata(directory).is_ok_and(|metadata| metadata.nlink() != 2);
    let entries = may_have.then(|| fs::read_dir(directory).ok()).flatten();
    let directories = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    pending.extend(directories.take(CGROUPS_MAX).map(|entry| entry.path()));
}

/// The soft limits of the init process.
fn limits(host: &Host, init: Option<Process>, out: &mut Sample) {
    let read = init.ok_or(Absence::NotReachable).and_then(|init| {
        let path = host.roots().proc.join(init.pid.to_string()).join("limits");
        // Read first: a process that still has the pid afterwards had it before.
        let bytes = read_file(&path);
        if !host.is_running(init) {
            return Err(Absence::NotRunning);
        }
        bytes.map_err(|error| if is_gone(&error) { Absence::NoFile } else { reason(&error) })
    });
    let absence = read.as_ref().err().copied().unwrap_or(Absence::NoKey);
    for (_, row) in ULIMITS {
        out.set(row, Reading::Absent(absence));
    }
    for (name, soft) in parse::limits(&read.unwrap_or_default()) {
        if let Some((_, row)) = ULIMITS.iter().find(|(known, _)| known.as_bytes() == name) {
            out.set(
                *row,
                match soft {
                    Slot::Value(value) => Reading::int(value),
                    Slot::Max => Reading::Max,
                    Slot::Absent(reason) => Reading::Absent(reason),
                },
            );
        }
    }
}

/// Reads a file whole into a buffer that is kept.
fn read(path: &Path, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.clear();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(bytes)?;
    if bytes.len() as u64 == FILE_BYTES_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_allowed_by_its_passing() {
        let begin = Instant::now();
        let allowance = Allowance(Mutex::new((begin, ALLOWANCE_MAX)));
        assert_eq!(allowance.left(begin), ALLOWANCE_MAX);
        allowance.spend(ALLOWANCE_MAX / 2);
        assert_eq!(allowance.left(begin), ALLOWANCE_MAX / 2);
        allowance.spend(ALLOWANCE_MAX * 3);
        assert_eq!(allowance.left(begin), Duration::ZERO);
        let later = begin + Duration::from_secs(1);
        assert_eq!(allowance.left(later), Duration::from_millis(200));
        assert_eq!(
            allowance.left(begin),
            Duration::from_millis(200),
            "a clock that is read late takes nothing"
        );
        assert_eq!(allowance.left(later + Duration::from_secs(3600)), ALLOWANCE_MAX);
    }

    #[test]
    fn without_time_nothing_is_looked_at() {
        let mut schedstat = Schedstat::default();
        let mut look = Look {
            proc: Path::new("/proc"),
            until: None,
            bytes: Vec::new(),
            tasks: 0,
            states: Ok([0; 5]),
            zombies: Ok(0),
            descriptors: Ok((0, 0)),
            schedstat: &mut schedstat,
            waits: Ok(()),
        };
        look.all(&[std::process::id()]);
        assert_eq!(look.states, Err(Absence::TooMany));
        assert_eq!(look.zombies, Err(Absence::TooMany));
        assert_eq!(look.descriptors, Err(Absence::TooMany));
        assert_eq!(look.waits, Err(Absence::TooMany));
    }
}
