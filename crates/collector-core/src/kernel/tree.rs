//! What a directory holds, and the space of the file system that it is on: never outside of it.
//!
//! Whoever writes into the directory may swap anything for a symbolic link, or have something mounted, while it is looked
//! at. So nothing is opened by path: each step is taken from the directory before it, without following links, and counts only
//! while it is on the same device and is not where something is mounted.

use std::{
    collections::HashSet,
    ffi::OsStr,
    io,
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat, StatxAttributes, StatxFlags};

use super::{reason::reason, walk::Beat};
use crate::Absence;

/// Entries looked at between two pauses.
const BATCH: usize = 512;
/// A pause lasts this many times as long as the batch before it took.
const PAUSE_FACTOR: u32 = 4;
/// A pause at most.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Bounds on one walk. What is past them is absent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Entries looked at.
    entries: usize,
    /// Hard-linked files among them.
    links: usize,
    /// Directories still to be looked into.
    pending: usize,
    /// Time, pauses included.
    time: Duration,
}

/// The bounds of every walk: some hundred megabytes of metadata, an hour, tens of megabytes of memory.
const BOUNDS: Bounds =
    Bounds { entries: 10_000_000, links: 1_000_000, pending: 200_000, time: Duration::from_secs(3600) };

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

fn is_denied(errno: rustix::io::Errno) -> bool {
    io::Error::from(errno).kind() == io::ErrorKind::PermissionDenied
}

/// Goes down from an open directory, name by name, without following a link; the last is opened with these flags. With a device,
/// no step may lead to another, nor to where something is mounted.
fn descend(
    from: OwnedFd,
    way: &Path,
    last: OFlags,
    device: Option<u64>,
) -> Result<OwnedFd, rustix::io::Errno> {
    use rustix::io::Errno;
    let mut at = from;
    let mut names = way.components().filter(|part| *part != Component::RootDir).peekable();
    while let Some(part) = names.next() {
        let Component::Normal(name) = part else { return Err(Errno::INVAL) };
        let is_last = names.peek().is_none();
        let flags = if is_last { last } else { OFlags::PATH | OFlags::DIRECTORY };
        let next = rustix::fs::openat(&at, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        // A path descriptor of a link is one of the link itself.
        let stat = rustix::fs::fstat(&next)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink() {
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
    told.is_ok_and(|told| told.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
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

fn bytes(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512)
}

fn is_directory(stat: &Stat) -> bool {
    rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir()
}

/// Bytes of allocated blocks at and below something on one device, each hard link once. What vanishes meanwhile is gone; what
/// may not be read makes the sum wrong, so there is none.
fn walk(root: &OwnedFd, device: u64, bounds: &Bounds, beat: &Beat) -> Result<u64, Absence> {
    let began = Instant::now();
    let stat = rustix::fs::fstat(root).map_err(|errno| reason(&errno.into()))?;
    let mut used = bytes(&stat);
    let mut linked: HashSet<u64> = HashSet::new();
    let mut pending = if is_directory(&stat) { vec![PathBuf::new()] } else { Vec::new() };
    let (mut entries, mut batch) = (0_usize, Instant::now());
    while let Some(below) = pending.pop() {
        let listing = match list(root, &below, device) {
            Ok(listing) => listing,
            Err(errno) if is_denied(errno) => return Err(Absence::PermissionDenied),
            Err(_) => continue,
        };
        let (directory, listing) = listing;
        for entry in listing.flatten() {
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            entries += 1;
            let is_past = entries > bounds.entries || linked.len() > bounds.links;
            if is_past || pending.len() > bounds.pending {
                return Err(Absence::TooMany);
            }
            if entries.is_multiple_of(BATCH) {
                beat.note();
                if began.elapsed() > bounds.time {
                    return Err(Absence::TooMany);
                }
                thread::sleep((batch.elapsed() * PAUSE_FACTOR).min(PAUSE_MAX));
                batch = Instant::now();
            }
            // Of the entry itself: a symbolic link is not followed.
            let Ok(stat) = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if stat.st_dev != device {
                continue;
            }
            if is_directory(&stat) || stat.st_nlink == 1 || linked.insert(stat.st_ino) {
                used = used.saturating_add(bytes(&stat));
            }
            if is_directory(&stat) {
                let mut path = below.clone().into_os_string().into_vec();
                path.extend_from_slice(b"/");
                path.extend_from_slice(name.as_bytes());
                pending.push(std::ffi::OsString::from_vec(path).into());
            }
        }
    }
    Ok(used)
}

/// Opens a directory below the root, and what lists it.
fn list(root: &OwnedFd, below: &Path, device: u64) -> Result<(OwnedFd, Dir), rustix::io::Errno> {
    let readable = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = if below.as_os_str().is_empty() {
        rustix::fs::openat(root, c".", readable, Mode::empty())?
    } else {
        descend(root.try_clone().map_err(|_| rustix::io::Errno::MFILE)?, below, readable, Some(device))?
    };
    let listing = Dir::read_from(&directory)?;
    Ok((directory, listing))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt};

    use super::*;

    fn device_of(path: &Path) -> u64 {
        fs::metadata(path).expect("metadata").dev()
    }

    fn target(path: &Path, device: u64) -> Target {
        Target { ways: vec![Way { from: path.to_owned(), to: PathBuf::new() }], device }
    }

    fn measured(path: &Path, device: u64) -> Found {
        measure(&target(path, device), &Beat::new(Instant::now()))
    }

    fn walked(path: &Path) -> u64 {
        measured(path, device_of(path)).used.expect("a walk")
    }

    #[test]
    fn a_walk_counts_blocks_and_each_link_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let empty = walked(directory.path());
        let below = directory.path().join("a b\\040c");
        fs::create_dir(&below).expect("a directory");
        let with_directory = walked(directory.path());
        fs::write(below.join("file"), vec![7_u8; 1 << 20]).expect("a file");
        fs::File::open(below.join("file")).and_then(|file| file.sync_all()).expect("written");
        fs::hard_link(below.join("file"), below.join("again")).expect("a link");
        std::os::unix::fs::symlink("/usr", below.join("elsewhere")).expect("a link");
        let full = walked(directory.path());
        assert!(empty <= with_directory);
        let file = fs::metadata(below.join("file")).expect("metadata").blocks() * 512;
        assert!(file >= 1 << 20);
        let rest = full - with_directory - file;
        assert!(rest <= 8192, "{rest} bytes more than the file: a link was followed or counted twice");
        assert_eq!(walked(&below.join("file")), file, "a file that is mounted is its own size");
    }

    /// `du` counts the same blocks.
    #[test]
    fn a_walk_agrees_with_du() {
        let directory = tempfile::tempdir().expect("a directory");
        for number in 0..700 {
            let below = directory.path().join(format!("{}/{}", number % 7, number % 3));
            fs::create_dir_all(&below).expect("a directory");
            fs::write(below.join(number.to_string()), vec![1_u8; number * 11]).expect("a file");
        }
        rustix::fs::sync();
        let said = std::process::Command::new("du").args(["-s", "-x", "-B1"]).arg(directory.path()).output();
        let said = said.expect("du, of coreutils").stdout;
        let said = String::from_utf8_lossy(&said);
        let du: u64 = said.split('\t').next().and_then(|word| word.parse().ok()).expect("a number");
        assert_eq!(walked(directory.path()), du);
    }

    #[test]
    fn the_space_is_what_statvfs_says() {
        let directory = tempfile::tempdir().expect("a directory");
        let space = measured(directory.path(), device_of(directory.path())).space.expect("a file system");
        let said = rustix::fs::statvfs(directory.path()).expect("a file system");
        assert_eq!((space.bytes, space.inodes_total), (said.f_blocks * said.f_frsize, said.f_files));
        assert!(space.bytes_available <= space.bytes && space.inodes_free <= space.inodes_total);
    }

    #[test]
    fn other_devices_and_what_is_gone_are_not_reached() {
        let directory = tempfile::tempdir().expect("a directory");
        let device = device_of(directory.path());
        assert_eq!(measured(directory.path(), device + 1).used, Err(Absence::NotReachable));
        assert_eq!(measured(&directory.path().join("gone"), device).used, Err(Absence::NotReachable));
    }

    /// As when a container swaps a directory for a link between two steps of a walk.
    #[test]
    fn a_link_on_the_way_leads_nowhere() {
        let directory = tempfile::tempdir().expect("a directory");
        let (inside, outside) = (directory.path().join("in"), directory.path().join("out"));
        fs::create_dir_all(inside.join("real")).expect("a directory");
        fs::create_dir_all(outside.join("deep")).expect("a directory");
        std::os::unix::fs::symlink(&outside, inside.join("link")).expect("a link");
        let device = device_of(&inside);
        let root = open(&target(&inside, device)).expect("a directory");
        assert!(list(&root, Path::new("/real"), device).is_ok());
        for way in ["/link", "/link/deep", "/real/../../out", "/real/gone"] {
            assert!(list(&root, Path::new(way), device).is_err(), "{way}");
        }
        assert!(list(&root, Path::new("/real"), device + 1).is_err(), "on another device");
        let ways = |to: &str| Target { ways: vec![Way { from: inside.clone(), to: to.into() }], device };
        assert!(open(&ways("/real")).is_ok());
        assert_eq!(open(&ways("/link")).err(), Some(Absence::NotReachable));
        assert_eq!(open(&ways("/link/deep")).err(), Some(Absence::NotReachable));
    }

    #[test]
    fn bounds_hold() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("file"), "").expect("a file");
        // A directory entry costs no inode: ten million would do the same.
        for number in 0..2_000 {
            fs::hard_link(directory.path().join("file"), directory.path().join(number.to_string()))
                .expect("a link");
        }
        for number in 0..20 {
            fs::create_dir(directory.path().join(format!("d{number}"))).expect("a directory");
        }
        let root = open(&target(directory.path(), device_of(directory.path()))).expect("a directory");
        let beat = Beat::new(Instant::now());
        let walk = |bounds: Bounds| walk(&root, device_of(directory.path()), &bounds, &beat);
        assert!(walk(BOUNDS).is_ok());
        assert!(walk(Bounds { entries: 2_021, ..BOUNDS }).is_ok());
        for bounds in [
            Bounds { entries: 2_020, ..BOUNDS },
            Bounds { links: 0, ..BOUNDS },
            Bounds { pending: 10, ..BOUNDS },
            Bounds { time: Duration::ZERO, ..BOUNDS },
        ] {
            assert_eq!(walk(bounds), Err(Absence::TooMany), "{bounds:?}");
        }
    }
}
