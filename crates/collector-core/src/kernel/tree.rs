//! What a directory holds, and the space of the file system that it is on: never outside of it.
//!
//! Whoever writes into the directory may swap anything for a symbolic link, or have something mounted, while it is looked
//! at. So nothing is opened by path: each step is taken from the directory before it, without following links, and counts only
//! while it is on the same device and is not where something is mounted.

use std::{
    collections::HashSet,
    ffi::{CStr, OsString},
    io,
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Statx, StatxAttributes, StatxFlags},
    io::Errno,
};

use super::{reason::reason, walk::Beat};
use crate::Absence;

/// Work between two pauses.
const SLICE: Duration = Duration::from_millis(2);
/// Entries between two looks at the clock.
const BATCH: usize = 64;
/// A pause lasts this many times as long as the work before it took.
const PAUSE_FACTOR: u32 = 4;
/// A pause at most.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// The unit of `st_blocks`, whatever the file system's blocks are.
const BLOCK_BYTES: u64 = 512;

/// Bounds on one walk. What is past them is absent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Entries looked at.
    entries: usize,
    /// Hard-linked files among them.
    links: usize,
    /// Bytes that the directories still to be looked into take: their ways may be as long as one likes.
    pending_bytes: usize,
    /// Bytes of one way: each step of it is taken again for each directory below.
    way_bytes: usize,
    /// Time, pauses included.
    time: Duration,
}

/// The bounds of every walk: some hundred megabytes of metadata, an hour, tens of megabytes of memory, and ways as long as the
/// kernel takes them.
const BOUNDS: Bounds = Bounds {
    entries: 10_000_000,
    links: 1_000_000,
    pending_bytes: 32 << 20,
    way_bytes: 4096,
    time: Duration::from_secs(3600),
};

/// Where something may be: a directory that the engine or the kernel names, and the way from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    /// Links in it are followed.
    pub(super) from: PathBuf,
    /// Links in it are not.
    pub(super) to: PathBuf,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Ways to it; the first that leads there is taken.
    pub(super) ways: Vec<Way>,
    /// The device that it must be on: on another it is something else.
    pub(super) device: u64,
}

/// The size of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) bytes: u64,
    pub(super) bytes_available: u64,
    pub(super) inodes_total: u64,
    pub(super) inodes_free: u64,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Bytes of allocated blocks, each hard link once.
    pub(super) used: Result<u64, Absence>,
    /// Of the file system that it is on.
    pub(super) space: Result<Space, Absence>,
    /// When it was found.
    pub(super) at: Instant,
}

/// Measures. It may take long, or never return where a file system does not answer.
pub(super) fn measure(target: &Target, beat: &Beat) -> Found {
    let opened = open(target);
    let space = opened.as_ref().map_err(|reason| *reason).and_then(space_of);
    let used = opened.and_then(|root| walk(&root, target.device, &BOUNDS, beat));
    Found { used, space, at: Instant::now() }
}

fn open(target: &Target) -> Result<OwnedFd, Absence> {
    let mut absence = Absence::NotReachable;
    for way in &target.ways {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let from = rustix::fs::open(&way.from, flags, Mode::empty());
        match from.and_then(|from| descend(from, &way.to, flags, None)) {
            Ok(found) if rustix::fs::fstat(&found).is_ok_and(|stat| stat.st_dev == target.device) => {
                return Ok(found);
            }
            Err(errno) if is_denied(errno) => absence = Absence::PermissionDenied,
            Ok(_) | Err(_) => {}
        }
    }
    Err(absence)
}

fn is_denied(errno: Errno) -> bool {
    io::Error::from(errno).kind() == io::ErrorKind::PermissionDenied
}

/// Goes down from an open directory, name by name, without following a link; the last is opened with these flags. With a device,
/// no step may lead to another, nor to where something is mounted.
fn descend(from: OwnedFd, way: &Path, last: OFlags, device: Option<u64>) -> Result<OwnedFd, Errno> {
    let mut at = from;
    let mut names = way.components().filter(|part| *part != Component::RootDir).peekable();
    while let Some(part) = names.next() {
        let Component::Normal(name) = part else { return Err(Errno::INVAL) };
        let is_last = names.peek().is_none();
        let flags = if is_last { last } else { OFlags::PATH | OFlags::DIRECTORY };
        let next = rustix::fs::openat(&at, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        // A path descriptor of a link is one of the link itself.
        let stat = rustix::fs::fstat(&next)?;
        if FileType::from_raw_mode(stat.st_mode).is_symlink() {
            return Err(Errno::LOOP);
        }
        if device.is_some_and(|device| stat.st_dev != device || is_mount_point(&next)) {
            return Err(Errno::XDEV);
        }
        at = next;
    }
    Ok(at)
}

/// Whether something is mounted there, of the same device perhaps. Kernels before 5.8 do not say: there only another device shows
/// it.
fn is_mount_point(directory: &OwnedFd) -> bool {
    let told = rustix::fs::statx(directory, c"", AtFlags::EMPTY_PATH, StatxFlags::empty());
    told.is_ok_and(|told| is_mount_root(&told))
}

fn is_mount_root(told: &Statx) -> bool {
    told.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
}

/// The size of the file system of something open.
pub(super) fn space_of(open: &OwnedFd) -> Result<Space, Absence> {
    let space = rustix::fs::fstatvfs(open).map_err(|errno| reason(&errno.into()))?;
    Ok(Space::from(space))
}

impl From<rustix::fs::StatVfs> for Space {
    fn from(space: rustix::fs::StatVfs) -> Self {
        let unit = space.f_frsize.max(1);
        Self {
            bytes: space.f_blocks.saturating_mul(unit),
            bytes_available: space.f_bavail.saturating_mul(unit),
            inodes_total: space.f_files,
            inodes_free: space.f_ffree,
        }
    }
}

/// Directories still to be looked into, by their ways from the root.
#[derive(Default)]
struct Pending {
    ways: Vec<PathBuf>,
    bytes: usize,
}

impl Pending {
    /// What a way takes, and what holds it.
    fn cost(way: &Path) -> usize {
        way.as_os_str().len() + size_of::<PathBuf>() + 16
    }

    fn add(&mut self, way: PathBuf, bounds: &Bounds) -> Result<(), Absence> {
        self.bytes += Self::cost(&way);
        if self.bytes > bounds.pending_bytes || way.as_os_str().len() > bounds.way_bytes {
            return Err(Absence::TooMany);
        }
        self.ways.push(way);
        Ok(())
    }

    fn take(&mut self) -> Option<PathBuf> {
        let way = self.ways.pop()?;
        self.bytes -= Self::cost(&way);
        Some(way)
    }
}

/// How fast a walk goes: it works a fifth of the time, within its bounds.
struct Pace<'a> {
    bounds: &'a Bounds,
    beat: &'a Beat,
    began: Instant,
    slice: Instant,
    entries: usize,
}

impl Pace<'_> {
    /// Before each entry.
    fn entry(&mut self) -> Result<(), Absence> {
        self.entries += 1;
        if self.entries > self.bounds.entries {
            return Err(Absence::TooMany);
        }
        if self.entries.is_multiple_of(BATCH) { self.directory() } else { Ok(()) }
    }

    /// Before each directory, which may be a long way down.
    fn directory(&mut self) -> Result<(), Absence> {
        self.beat.note();
        if self.began.elapsed() > self.bounds.time {
            return Err(Absence::TooMany);
        }
        let worked = self.slice.elapsed();
        if worked >= SLICE {
            thread::sleep((worked * PAUSE_FACTOR).min(PAUSE_MAX));
            self.slice = Instant::now();
        }
        Ok(())
    }
}

/// Bytes of allocated blocks at and below something on one device, each hard link once. What vanishes meanwhile is gone; what
/// cannot be read makes the sum wrong, so there is none.
fn walk(root: &OwnedFd, device: u64, bounds: &Bounds, beat: &Beat) -> Result<u64, Absence> {
    let began = Instant::now();
    let mut pace = Pace { bounds, beat, began, slice: began, entries: 0 };
    let stat = rustix::fs::fstat(root).map_err(|errno| reason(&errno.into()))?;
    let mut used = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK_BYTES);
    let mut linked: HashSet<u64> = HashSet::new();
    let mut pending = Pending::default();
    if FileType::from_raw_mode(stat.st_mode).is_dir() {
        pending.add(PathBuf::new(), bounds)?;
    }
    while let Some(below) = pending.take() {
        pace.directory()?;
        let listed = list(root, &below, device).map_or_else(skipped, |listed| Ok(Some(listed)))?;
        let Some((directory, listing)) = listed else { continue };
        for entry in listing {
            let entry = entry.map_err(|errno| reason(&errno.into()))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            pace.entry()?;
            let Some(seen) = see(&directory, name, device)? else { continue };
            if seen.is_directory || seen.links == 1 || linked.insert(seen.inode) {
                used = used.saturating_add(seen.bytes);
            }
            if linked.len() > bounds.links {
                return Err(Absence::TooMany);
            }
            if seen.is_directory {
                pending.add(joined(&below, name), bounds)?;
            }
        }
    }
    Ok(used)
}

/// The way to what a directory holds.
fn joined(below: &Path, name: &CStr) -> PathBuf {
    let mut way = Vec::with_capacity(below.as_os_str().len() + 1 + name.count_bytes());
    way.extend_from_slice(below.as_os_str().as_bytes());
    way.push(b'/');
    way.extend_from_slice(name.to_bytes());
    OsString::from_vec(way).into()
}

/// What has gone, or was swapped for something else meanwhile, is left out; any other error is the reason for no sum at all.
fn skipped<T>(errno: Errno) -> Result<Option<T>, Absence> {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV => Ok(None),
        errno => Err(reason(&errno.into())),
    }
}

/// An entry of a directory.
struct Seen {
    is_directory: bool,
    bytes: u64,
    links: u64,
    inode: u64,
}

/// The entry itself: a symbolic link is not followed. None if it is gone, or something is mounted there.
fn see(directory: &OwnedFd, name: &CStr, device: u64) -> Result<Option<Seen>, Absence> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let is_elsewhere = |told: &Statx| {
        rustix::fs::makedev(told.stx_dev_major, told.stx_dev_minor) != device || is_mount_root(told)
    };
    match rustix::fs::statx(directory, name, flags, StatxFlags::BASIC_STATS) {
        Ok(told) if is_elsewhere(&told) => Ok(None),
        Ok(told) => Ok(Some(Seen {
            is_directory: FileType::from_raw_mode(told.stx_mode.into()).is_dir(),
            bytes: told.stx_blocks.saturating_mul(BLOCK_BYTES),
            links: told.stx_nlink.into(),
            inode: told.stx_ino,
        })),
        // What serves a mount (FUSE) may refuse to tell of it, or be dead; the kernel itself knows where it is.
        Err(errno) => match rustix::fs::statx(directory, name, flags, StatxFlags::empty()) {
            Ok(told) if is_elsewhere(&told) => Ok(None),
            Ok(_) | Err(_) => skipped(errno),
        },
    }
}

/// Opens a directory below the root, and what lists it.
fn list(root: &OwnedFd, below: &Path, device: u64) -> Result<(OwnedFd, Dir), Errno> {
    let readable = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = if below.as_os_str().is_empty() {
        rustix::fs::openat(root, c".", readable, Mode::empty())?
    } else {
        descend(root.try_clone().map_err(|_| Errno::MFILE)?, below, readable, Some(device))?
    };
    let listing = Dir::read_from(&directory)?;
    Ok((directory, listing))
}

#[cfg(test)]
mod tests;
