//! A container's writable layer: its directory, the disk and the file system under it, and what it holds.
//!
//! The layer's directory is in `/proc/<pid>/mountinfo` (the root mount's `upperdir=`), whatever engine and image store made
//! it. Finding it and asking its file system costs some microseconds and is done while sampling; what it holds is walked in
//! the background ([`super::walk`]).

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cgroup_reader::{Host, Process, parse};

use super::{
    lock,
    probe::DeviceNumber,
    tree::{Space, Target, Way, reason},
    walk::Walker,
};
use crate::{Absence, Reading, Sample, catalogue::Dimension, catalogue::ids};

/// How long an answer about sizes is good for, and after how long a layer that was not found is looked for again.
const FRESH: Duration = Duration::from_secs(10);

/// What does not change while the container runs.
#[derive(Debug)]
struct Place {
    directory: PathBuf,
    /// The file system it is on.
    device: u64,
    /// The whole disk under that, where there is one.
    disk: Option<DeviceNumber>,
    label: Arc<str>,
}

/// What is known of the file systems under layers, by device: most containers share one, and the mount table that names it
/// grows with each container.
#[derive(Debug, Default)]
pub(super) struct FileSystems(Mutex<HashMap<u64, (Instant, FileSystem)>>);

/// A file system: the whole disk under it, where there is one, and what the mount table calls it.
type FileSystem = (Option<DeviceNumber>, Arc<str>);

/// How long a file system's name is good for, and how many are remembered: beyond that all are forgotten.
const NAME_FRESH: Duration = Duration::from_secs(60);
const NAMES_MAX: usize = 256;

impl FileSystems {
    fn of(&self, host: &Host, directory: &Path, device: u64) -> FileSystem {
        let mut known = lock(&self.0);
        if let Some((at, file_system)) = known.get(&device)
            && at.elapsed() < NAME_FRESH
        {
            return file_system.clone();
        }
        let disk = disk_under(host, (rustix::fs::major(device), rustix::fs::minor(device)));
        let file_system = (disk, device_label(directory, device, &host.roots().proc));
        if known.len() >= NAMES_MAX {
            known.clear();
        }
        known.insert(device, (Instant::now(), file_system.clone()));
        file_system
    }
}

/// One container's layer.
#[derive(Debug)]
pub(super) struct Layer {
    token: u64,
    process: Option<Process>,
    place: Result<Place, Absence>,
    looked_at: Option<Instant>,
    space: Option<(Instant, Result<Space, Absence>)>,
    is_walked: bool,
}

impl Layer {
    /// Of the container with that init process; nothing is read yet.
    pub(super) const fn new(token: u64, process: Option<Process>) -> Self {
        let place = Err(Absence::NotReachable);
        Self { token, process, place, looked_at: None, space: None, is_walked: false }
    }

    fn find(&mut self, host: &Host, known: &FileSystems) {
        let is_old = self.looked_at.is_none_or(|at| at.elapsed() >= FRESH);
        if self.place.is_err() && is_old {
            self.place = self
                .process
                .ok_or(Absence::NotReachable)
                .and_then(|process| Place::find(host, known, process));
            self.looked_at = Some(Instant::now());
        }
    }

    /// The disk under the layer: cgroups count I/O by disk, not by partition.
    pub(super) fn disk(&mut self, host: &Host, known: &FileSystems) -> Option<DeviceNumber> {
        self.find(host, known);
        self.place.as_ref().ok()?.disk
    }

    /// Fills the rows of the file system, and has the layer walked from the first time on.
    pub(super) fn fill(&mut self, host: &Host, known: &FileSystems, walker: &Walker, out: &mut Sample) {
        self.find(host, known);
        let place = match &self.place {
            Ok(place) => place,
            Err(reason) => {
                out.table_mut(Dimension::Filesystem).absence = Some(*reason);
                return;
            }
        };
        if !std::mem::replace(&mut self.is_walked, true) {
            let ways = vec![Way { from: place.directory.clone(), to: PathBuf::new() }];
            walker.add((self.token, 0), Target { ways, device: place.device });
        }
        let space = match self.space {
            Some((at, space)) if at.elapsed() < FRESH => space,
            _ => self.space.insert((Instant::now(), space(&place.directory))).1,
        };
        let labels: &[&str] = &[&place.label];
        match walker.found((self.token, 0)).map(|found| found.used) {
            Some(Ok(bytes)) => out.set_in(ids::FS_USAGE, labels, Reading::int(bytes)),
            Some(Err(reason)) => out.table_mut(Dimension::Filesystem).absence = Some(reason),
            None => out.table_mut(Dimension::Filesystem).absence = Some(Absence::NotCollected),
        }
        match space {
            Ok(space) => {
                out.set_in(ids::FS_LIMIT, labels, Reading::int(space.bytes));
                out.set_in(ids::FS_AVAILABLE, labels, Reading::int(space.bytes_available));
                out.set_in(ids::FS_INODES_TOTAL, labels, Reading::int(space.inodes_total));
                out.set_in(ids::FS_INODES_FREE, labels, Reading::int(space.inodes_free));
            }
            Err(reason) => out.table_mut(Dimension::Filesystem).absence = Some(reason),
        }
    }
}

impl Place {
    fn find(host: &Host, known: &FileSystems, process: Process) -> Result<Self, Absence> {
        let directory = upper_directory(host, process)?;
        let device = fs::metadata(&directory).map_err(|error| reason(&error))?.dev();
        let (disk, label) = known.of(host, &directory, device);
        Ok(Self { directory, device, disk, label })
    }
}

/// The upper directory of the overlay that is the root of a process, as it can be reached from here.
fn upper_directory(host: &Host, process: Process) -> Result<PathBuf, Absence> {
    let proc = &host.roots().proc;
    let bytes =
        fs::read(proc.join(process.pid.to_string()).join("mountinfo")).map_err(|error| reason(&error))?;
    if !host.is_running(process) {
        return Err(Absence::NotRunning);
    }
    // A later mount hides an earlier one at the same point.
    let root = parse::mountinfo(&bytes).filter(|mount| mount.point == "/").last();
    let root = root.ok_or(Absence::Malformed)?;
    // Other storage drivers keep the layer elsewhere, and a container that is read-only from the start has none.
    let upper = root.options().find_map(|option| option.strip_prefix("upperdir=")).ok_or(Absence::NoFile)?;
    // Docker mounts long chains of layers relative to a directory that no file names.
    let below = upper.strip_prefix('/').ok_or(Absence::NotReachable)?;
    let through_init = proc.join("1/root").join(below);
    let mut absence = Absence::NotReachable;
    for path in [PathBuf::from(upper), through_init] {
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                absence = Absence::PermissionDenied;
            }
            Ok(_) | Err(_) => {}
        }
    }
    Err(absence)
}

/// The whole disk that a block device is or is a part of; none for file systems that are not on one (btrfs, tmpfs, NFS).
fn disk_under(host: &Host, (major, minor): DeviceNumber) -> Option<DeviceNumber> {
    let sys = host.roots().cgroup.parent()?.parent()?.join(format!("dev/block/{major}:{minor}"));
    if !sys.join("partition").exists() {
        return sys.exists().then_some((major, minor));
    }
    let disk = fs::read_to_string(fs::canonicalize(sys).ok()?.parent()?.join("dev")).ok()?;
    let (major, minor) = disk.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn space(directory: &Path) -> Result<Space, Absence> {
    rustix::fs::statvfs(directory).map(Space::from).map_err(|errno| reason(&errno.into()))
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

#[cfg(test)]
pub(super) mod tests {
    use cgroup_reader::Roots;

    use super::*;

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    /// A machine with one process, with that mount table.
    pub(in crate::kernel) fn machine(mounts: &str) -> (tempfile::TempDir, Host, Process) {
        let root = tempfile::tempdir().expect("a directory");
        let at = |path: &str| root.path().join(path);
        write(at("sys/fs/cgroup/cgroup.controllers"), "cpu\n");
        write(at("proc/7/stat"), &format!("7 (x) S{} 99 0 0\n", " 0".repeat(18)));
        let mounts = mounts.replace("@ROOT@", root.path().to_str().expect("UTF-8"));
        write(at("proc/7/mountinfo"), &mounts);
        let host = Host::detect(&Roots::under(root.path())).expect("a host");
        (root, host, Process { pid: 7, start_ticks: 99 })
    }

    const ROOT: &str = "111 61 0:50 / / rw,relatime master:3 - overlay overlay rw,lowerdir=/l/A:/l/B";

    #[test]
    fn the_upper_directory_is_found_or_not_for_a_reason() {
        for (mounts, expect) in [
            (format!("{ROOT},upperdir=@ROOT@/up,workdir=/w\n"), Ok("up")),
            (format!("{ROOT},upperdir=@ROOT@/hidden\n{ROOT},upperdir=@ROOT@/up\n"), Ok("up")),
            (format!("{ROOT},upperdir=/nowhere/up,workdir=/w\n"), Ok("proc/1/root/nowhere/up")),
            (format!("{ROOT},upperdir=/nowhere/else,workdir=/w\n"), Err(Absence::NotReachable)),
            (format!("{ROOT},upperdir=abc/diff,workdir=abc/work\n"), Err(Absence::NotReachable)),
            (format!("{ROOT}\n"), Err(Absence::NoFile)),
            ("1 1 8:1 / / rw - ext4 /dev/sda1 rw\n".to_owned(), Err(Absence::NoFile)),
            ("nonsense\n".to_owned(), Err(Absence::Malformed)),
        ] {
            let (root, host, process) = machine(&mounts);
            for directory in ["up", "hidden", "proc/1/root/nowhere/up"] {
                fs::create_dir_all(root.path().join(directory)).expect("a directory");
            }
            let found = upper_directory(&host, process);
            assert_eq!(found, expect.map(|path| root.path().join(path)), "{mounts}");
            let reused = Process { start_ticks: 100, ..process };
            assert_eq!(upper_directory(&host, reused), Err(Absence::NotRunning));
            assert_eq!(upper_directory(&host, Process { pid: 8, ..process }), Err(Absence::NotRunning));
        }
    }

    #[test]
    fn partitions_belong_to_their_disk() {
        let (root, host, _) = machine("");
        let at = |path: &str| root.path().join("sys").join(path);
        write(at("devices/vda/dev"), "254:0\n");
        write(at("devices/vda/vda1/dev"), "254:1\n");
        write(at("devices/vda/vda1/partition"), "1\n");
        fs::create_dir_all(at("dev/block")).expect("a directory");
        for (number, device) in [("254:0", "devices/vda"), ("254:1", "devices/vda/vda1")] {
            std::os::unix::fs::symlink(at(device), at("dev/block").join(number)).expect("a link");
        }
        assert_eq!(disk_under(&host, (254, 0)), Some((254, 0)));
        assert_eq!(disk_under(&host, (254, 1)), Some((254, 0)));
        assert_eq!(disk_under(&host, (0, 44)), None);
    }
}
