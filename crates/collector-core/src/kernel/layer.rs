//! Writable layers: how much they hold, walked in the background by one slow thread.
//!
//! The layer's directory is in `/proc/<pid>/mountinfo` (the root mount's `upperdir=`), whatever engine and image store made
//! it. A walk counts allocated blocks, each hard link once, follows no symbolic link and leaves no file system; after each
//! batch of entries it pauses, so that it never takes more than a small part of a disk's time.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, Weak,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use cgroup_reader::{Process, parse};

use super::{lock, probe::DeviceNumber};
use crate::{Absence, Reading, Sample, catalogue::Dimension, catalogue::ids};

/// Entries looked at between two pauses.
const BATCH: usize = 512;
/// A pause lasts this many times as long as the batch before it took.
const PAUSE_FACTOR: u32 = 4;
/// Entries of one layer at most: a larger one is absent.
const ENTRIES_MAX: usize = 10_000_000;
/// A pause at most.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// What a walk found.
#[derive(Debug, Clone)]
struct Found {
    device: Arc<str>,
    used_bytes: Option<u64>,
    size_bytes: u64,
    inodes_total: u64,
    inodes_free: u64,
}

#[derive(Debug)]
struct Layer {
    process: Option<Process>,
    directory: Option<PathBuf>,
    disk: Option<DeviceNumber>,
    found: Result<Found, Absence>,
    next_walk: Instant,
}

#[derive(Debug, Default)]
struct Known {
    layers: BTreeMap<u64, Layer>,
}

#[derive(Debug)]
struct State {
    proc: PathBuf,
    interval: Duration,
    known: Mutex<Known>,
    changed: Condvar,
}

/// The layers of all running containers, by watch.
#[derive(Debug)]
pub(super) struct Layers {
    state: Arc<State>,
    /// Dropped with this, which ends the thread.
    _alive: mpsc::Sender<()>,
}

impl Layers {
    /// Starts the thread.
    pub(super) fn start(proc: PathBuf, interval: Duration) -> io::Result<Self> {
        let state = Arc::new(State { proc, interval, known: Mutex::default(), changed: Condvar::new() });
        let (alive, ended) = mpsc::channel();
        let weak = Arc::downgrade(&state);
        thread::Builder::new()
            .name("layer-walk".into())
            .stack_size(256 * 1024)
            .spawn(move || run(&weak, &ended))?;
        Ok(Self { state, _alive: alive })
    }

    /// A container whose layer is to be walked soon.
    pub(super) fn add(&self, token: u64, process: Option<Process>) {
        let found = Err(if process.is_some() { Absence::NotCollected } else { Absence::NotReachable });
        let layer = Layer { process, directory: None, disk: None, found, next_walk: Instant::now() };
        lock(&self.state.known).layers.insert(token, layer);
        self.state.changed.notify_one();
    }

    pub(super) fn remove(&self, token: u64) {
        lock(&self.state.known).layers.remove(&token);
    }

    /// The disk under the layer, once it is known.
    pub(super) fn disk(&self, token: u64) -> Option<DeviceNumber> {
        lock(&self.state.known).layers.get(&token)?.disk
    }

    /// Fills the rows of the file system.
    pub(super) fn fill(&self, token: u64, out: &mut Sample) {
        let found = match lock(&self.state.known).layers.get(&token) {
            Some(layer) => layer.found.clone(),
            None => Err(Absence::NotRunning),
        };
        match found {
            Err(reason) => out.table_mut(Dimension::Filesystem).absence = Some(reason),
            Ok(found) => {
                let labels: &[&str] = &[&found.device];
                if let Some(used) = found.used_bytes {
                    out.set_in(ids::FS_USAGE, labels, Reading::int(used));
                }
                out.set_in(ids::FS_LIMIT, labels, Reading::int(found.size_bytes));
                out.set_in(ids::FS_INODES_TOTAL, labels, Reading::int(found.inodes_total));
                out.set_in(ids::FS_INODES_FREE, labels, Reading::int(found.inodes_free));
            }
        }
    }
}

/// The thread: walks whichever layer is due first, until the sampler is gone.
fn run(state: &Weak<State>, ended: &mpsc::Receiver<()>) {
    loop {
        match ended.recv_timeout(Duration::ZERO) {
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
        }
        let Some(state) = state.upgrade() else { return };
        let due = {
            let known = lock(&state.known);
            let first = known.layers.iter().min_by_key(|(_, layer)| layer.next_walk);
            let wait = first.map_or(Duration::from_secs(1), |(_, layer)| {
                layer.next_walk.saturating_duration_since(Instant::now()).min(Duration::from_secs(1))
            });
            if wait.is_zero() {
                first.map(|(token, layer)| (*token, layer.process, layer.directory.clone()))
            } else {
                // Bounded, so that the end of the sampler is noticed.
                drop(state.changed.wait_timeout(known, wait));
                None
            }
        };
        if let Some((token, process, directory)) = due {
            state.walk_one(token, process, directory);
        }
    }
}

impl State {
    fn walk_one(&self, token: u64, process: Option<Process>, directory: Option<PathBuf>) {
        let directory = match directory {
            Some(directory) => Ok(directory),
            None => {
                process.ok_or(Absence::NotReachable).and_then(|process| layer_directory(&self.proc, process))
            }
        };
        let disk = directory.as_deref().ok().and_then(disk_under);
        if let (Ok(directory), Some(layer)) = (&directory, lock(&self.known).layers.get_mut(&token)) {
            layer.disk = disk;
            layer.directory = Some(directory.clone());
        }
        let found = directory.and_then(|directory| measure(&directory, &self.proc));
        if let Some(layer) = lock(&self.known).layers.get_mut(&token) {
            layer.found = found;
            layer.next_walk = Instant::now() + self.interval;
        }
    }
}

/// The upper directory of the overlay that is the root of a process.
fn layer_directory(proc: &Path, process: Process) -> Result<PathBuf, Absence> {
    let bytes =
        fs::read(proc.join(process.pid.to_string()).join("mountinfo")).map_err(|error| reason(&error))?;
    let root = parse::mountinfo(&bytes).find(|mount| mount.point == "/").ok_or(Absence::Malformed)?;
    let upper = root.options.split(',').find_map(|option| option.strip_prefix("upperdir="));
    // Other storage drivers keep the layer elsewhere, and read-only containers have none.
    let upper = PathBuf::from(upper.ok_or(Absence::NoFile)?);
    let through_init = || proc.join("1/root").join(upper.strip_prefix("/").unwrap_or(&upper));
    [upper.clone(), through_init()].into_iter().find(|path| path.is_dir()).ok_or(Absence::NotReachable)
}

fn reason(error: &io::Error) -> Absence {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Absence::PermissionDenied,
        io::ErrorKind::NotFound => Absence::NotRunning,
        _ => Absence::NotReachable,
    }
}

/// The whole disk of the file system that a directory is on: cgroups count I/O by disk, not by partition.
fn disk_under(directory: &Path) -> Option<DeviceNumber> {
    let device = fs::metadata(directory).ok()?.dev();
    let number = (rustix::fs::major(device), rustix::fs::minor(device));
    let sys = PathBuf::from(format!("/sys/dev/block/{}:{}", number.0, number.1));
    if !sys.join("partition").exists() {
        return sys.exists().then_some(number);
    }
    let disk = fs::read_to_string(fs::canonicalize(sys).ok()?.parent()?.join("dev")).ok()?;
    let (major, minor) = disk.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn measure(directory: &Path, proc: &Path) -> Result<Found, Absence> {
    let space = rustix::fs::statvfs(directory).map_err(|errno| reason(&errno.into()))?;
    let device = fs::metadata(directory).map_err(|error| reason(&error))?.dev();
    let used_bytes = walk(directory, device);
    let unit = space.f_frsize.max(1);
    Ok(Found {
        device: device_label(directory, device, proc),
        used_bytes,
        size_bytes: space.f_blocks.saturating_mul(unit),
        inodes_total: space.f_files,
        inodes_free: space.f_ffree,
    })
}

/// What is mounted, as the mount table names it; the device's numbers where it does not.
fn device_label(directory: &Path, device: u64, proc: &Path) -> Arc<str> {
    let directory = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    let bytes = fs::read(proc.join("self/mountinfo")).unwrap_or_default();
    let mount = parse::mountinfo(&bytes)
        .filter(|mount| directory.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.len());
    match mount {
        Some(mount) if mount.source.starts_with('/') && mount.source != "/dev/root" => mount.source.into(),
        _ => format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)).into(),
    }
}

/// Bytes of allocated blocks below a directory; `None` where there are too many entries. What vanishes meanwhile is gone.
fn walk(directory: &Path, device: u64) -> Option<u64> {
    let mut used = fs::symlink_metadata(directory).map_or(0, |metadata| metadata.blocks() * 512);
    let mut linked: HashSet<u64> = HashSet::new();
    let mut directories = vec![directory.to_owned()];
    let (mut entries, mut batch) = (0_usize, Instant::now());
    while let Some(directory) = directories.pop() {
        let Ok(listing) = fs::read_dir(&directory) else { continue };
        for entry in listing.flatten() {
            entries += 1;
            if entries > ENTRIES_MAX {
                return None;
            }
            if entries.is_multiple_of(BATCH) {
                thread::sleep((batch.elapsed() * PAUSE_FACTOR).min(PAUSE_MAX));
                batch = Instant::now();
            }
            // Of the entry itself: a symbolic link is not followed.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.dev() != device {
                continue;
            }
            let first = metadata.is_dir() || metadata.nlink() == 1 || linked.insert(metadata.ino());
            if first {
                used = used.saturating_add(metadata.blocks().saturating_mul(512));
            }
            if metadata.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    Some(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_counts_blocks_and_each_link_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let device = fs::metadata(directory.path()).expect("metadata").dev();
        let empty = walk(directory.path(), device).expect("a walk");
        let below = directory.path().join("a");
        fs::create_dir(&below).expect("a directory");
        let with_directory = walk(directory.path(), device).expect("a walk");
        fs::write(below.join("file"), vec![7_u8; 1 << 20]).expect("a file");
        fs::File::open(below.join("file")).and_then(|file| file.sync_all()).expect("written");
        fs::hard_link(below.join("file"), below.join("again")).expect("a link");
        std::os::unix::fs::symlink("/usr", below.join("elsewhere")).expect("a link");
        let full = walk(directory.path(), device).expect("a walk");
        assert!(empty <= with_directory);
        let file = fs::metadata(below.join("file")).expect("metadata").blocks() * 512;
        assert!(file >= 1 << 20);
        let rest = full - with_directory - file;
        assert!(rest <= 8192, "{rest} bytes more than the file: a link was followed or counted twice");
    }
}
