//! A container's writable layer: its directory, the disk and the file system under it, and what it holds.
//!
//! The layer's directory is in `/proc/<pid>/mountinfo` (the root mount's `upperdir=`), whatever engine and image store made
//! it. Finding it and asking its file system costs some microseconds and is done while sampling, aside where it may never
//! answer ([`super::places`]); what it holds is walked in the background ([`super::walk`]).

use std::{
    collections::HashMap,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cgroup_reader::{Host, HostError, Process, Roots, parse::Mount};

use super::{
    lock,
    places::{Place, Places},
    probe::DeviceNumber,
    reason::reason,
    tree::{Space, Target, Way},
    walk::Walker,
};
use crate::{Absence, Reading, Sample, catalogue::Dimension, catalogue::ids};

/// How long an answer about sizes is good for, and after how long a layer that was not found is looked for again.
const FRESH: Duration = Duration::from_secs(10);

/// What does not change while the container runs.
#[derive(Debug)]
struct Ground {
    directory: Place,
    /// The file system it is on.
    device: u64,
    /// The whole disk under that, where there is one.
    disk: Option<DeviceNumber>,
    labels: Arc<[Arc<str>]>,
}

/// What asks a file system for its size.
type Ask = dyn Fn(&Path) -> Result<Space, Absence> + Send + Sync;

/// The file systems under layers: most containers share one.
pub(super) struct FileSystems {
    pub(super) places: Places,
    /// The whole disks under them, where there are such, by device.
    disks: Mutex<HashMap<u64, (Instant, Option<DeviceNumber>)>>,
    space: Arc<Ask>,
}

/// How long a disk is good for, and how many are remembered: beyond that all are forgotten.
const DISK_FRESH: Duration = Duration::from_secs(60);
const DISKS_MAX: usize = 256;

impl FileSystems {
    pub(super) fn new(roots: &Roots) -> Self {
        Self::with(roots, Arc::new(space))
    }

    /// With something else in the place of the system call: tests have one that never returns.
    pub(super) fn with(roots: &Roots, space: Arc<Ask>) -> Self {
        Self { places: Places::new(roots), disks: Mutex::default(), space }
    }

    fn disk(&self, host: &Host, device: u64) -> Option<DeviceNumber> {
        let mut known = lock(&self.disks);
        if let Some((at, disk)) = known.get(&device)
            && at.elapsed() < DISK_FRESH
        {
            return *disk;
        }
        let disk = disk_under(host, (rustix::fs::major(device), rustix::fs::minor(device)));
        if known.len() >= DISKS_MAX {
            known.clear();
        }
        known.insert(device, (Instant::now(), disk));
        disk
    }

    fn space(&self, place: &Place) -> Result<Space, Absence> {
        let space = Arc::clone(&self.space);
        self.places.ask(place, move |path| space(path))?
    }
}

/// One container's layer.
#[derive(Debug)]
pub(super) struct Layer {
    token: u64,
    process: Option<Process>,
    ground: Result<Ground, Absence>,
    looked_at: Option<Instant>,
    space: Option<(Instant, Result<Space, Absence>)>,
    is_walked: bool,
}

impl Layer {
    /// Of the container with that init process; nothing is read yet.
    pub(super) const fn new(token: u64, process: Option<Process>) -> Self {
        let ground = Err(Absence::NotReachable);
        Self { token, process, ground, looked_at: None, space: None, is_walked: false }
    }

    fn find(&mut self, host: &Host, known: &FileSystems) {
        let again = match self.ground {
            Ok(_) => false,
            // To ask one that is known to hang costs nothing, and it may answer again.
            Err(Absence::Timeout) => true,
            Err(_) => self.looked_at.is_none_or(|at| at.elapsed() >= FRESH),
        };
        if again {
            self.ground = self
                .process
                .ok_or(Absence::NotReachable)
                .and_then(|process| Ground::find(host, known, process));
            self.looked_at = Some(Instant::now());
        }
    }

    /// The disk under the layer: cgroups count I/O by disk, not by partition.
    pub(super) fn disk(&mut self, host: &Host, known: &FileSystems) -> Option<DeviceNumber> {
        self.find(host, known);
        self.ground.as_ref().ok()?.disk
    }

    /// Fills the rows of the file system, and has the layer walked from the first time on.
    pub(super) fn fill(&mut self, host: &Host, known: &FileSystems, walker: &Walker, out: &mut Sample) {
        self.find(host, known);
        let ground = match &self.ground {
            Ok(ground) => ground,
            Err(reason) => {
                out.table_mut(Dimension::Filesystem).absence = Some(*reason);
                return;
            }
        };
        if !std::mem::replace(&mut self.is_walked, true) {
            let ways = vec![Way { from: ground.directory.path.clone(), to: PathBuf::new() }];
            walker.add((self.token, 0), Target { ways, device: ground.device });
        }
        let space = match self.space {
            Some((at, space)) if at.elapsed() < FRESH && space != Err(Absence::Timeout) => space,
            _ => self.space.insert((Instant::now(), known.space(&ground.directory))).1,
        };
        let labels = &ground.labels;
        match walker.found((self.token, 0)).map(|found| found.used) {
            Some(Ok(bytes)) => out.set_shared(ids::FS_USAGE, labels, Reading::int(bytes)),
            Some(Err(reason)) => out.table_mut(Dimension::Filesystem).absence = Some(reason),
            None => out.table_mut(Dimension::Filesystem).absence = Some(Absence::NotCollected),
        }
        match space {
            Ok(space) => {
                out.set_shared(ids::FS_LIMIT, labels, Reading::int(space.bytes));
                out.set_shared(ids::FS_AVAILABLE, labels, Reading::int(space.bytes_available));
                out.set_shared(ids::FS_INODES_TOTAL, labels, Reading::int(space.inodes_total));
                out.set_shared(ids::FS_INODES_FREE, labels, Reading::int(space.inodes_free));
            }
            Err(reason) => out.table_mut(Dimension::Filesystem).absence = Some(reason),
        }
    }
}

impl Ground {
    fn find(host: &Host, known: &FileSystems, process: Process) -> Result<Self, Absence> {
        let root = host.root_mount(process.pid).map_err(|error| match error {
            HostError::Read { source, .. } => reason(&source),
            _ => Absence::NotReachable,
        });
        // If another has its pid meanwhile, it was not this one's.
        if !host.is_running(process) {
            return Err(Absence::NotRunning);
        }
        let upper = upper_directory(root?)?;
        let (directory, metadata) = known.places.find(&upper, |path| fs::metadata(path), Metadata::is_dir)?;
        let device = metadata.dev();
        // As the mount table names it; the device's numbers where it does not.
        let numbers = || format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)).into();
        let label = directory.source().cloned().unwrap_or_else(numbers);
        Ok(Self { directory, device, disk: known.disk(host, device), labels: Arc::new([label]) })
    }
}

/// The upper directory of the overlay that is a process's root, as the engine named it.
fn upper_directory(root: Option<Mount>) -> Result<PathBuf, Absence> {
    let root = root.ok_or(Absence::Malformed)?;
    // Other storage drivers keep the layer elsewhere, and a container that is read-only from the start has none.
    let upper = root.options().find_map(|option| option.strip_prefix("upperdir=")).ok_or(Absence::NoFile)?;
    // Docker mounts long chains of layers relative to a directory that no file names.
    if upper.starts_with('/') { Ok(upper.into()) } else { Err(Absence::NotReachable) }
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

#[cfg(test)]
pub(super) mod tests {
    use cgroup_reader::Roots;

    use super::*;
    use crate::kernel::alone::{may_mount_alone, skip};

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    /// A machine with one process, with that mount table, all of whose files are on one file system that answers.
    pub(in crate::kernel) fn machine(mounts: &str) -> (tempfile::TempDir, Host, Process) {
        let root = tempfile::tempdir().expect("a directory");
        let at = |path: &str| root.path().join(path);
        write(at("sys/fs/cgroup/cgroup.controllers"), "cpu\n");
        write(at("proc/self/mountinfo"), "1 0 8:1 / / rw - ext4 /dev/root rw\n");
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
            (format!("{ROOT},upperdir=@ROOT@/up\n{ROOT},upperdir=@ROOT@/over\n"), Ok("up")),
            (format!("{ROOT},upperdir=@ROOT@/a\\040b\\054c\\134\\075,workdir=/w\n"), Ok("a b,c\\=")),
            (format!("{ROOT},upperdir=@ROOT@/link,workdir=/w\n"), Ok("up")),
            (format!("{ROOT},upperdir=/nowhere/up,workdir=/w\n"), Ok("proc/1/root/nowhere/up")),
            (format!("{ROOT},upperdir=/nowhere/else,workdir=/w\n"), Err(Absence::NotReachable)),
            (format!("{ROOT},upperdir=@ROOT@/file,workdir=/w\n"), Err(Absence::NotReachable)),
            (format!("{ROOT},upperdir=@ROOT@/round,workdir=/w\n"), Err(Absence::NotReachable)),
            (format!("{ROOT},upperdir=abc/diff,workdir=abc/work\n"), Err(Absence::NotReachable)),
            (format!("{ROOT}\n"), Err(Absence::NoFile)),
            ("1 1 8:1 / / rw - ext4 /dev/sda1 rw\n".to_owned(), Err(Absence::NoFile)),
            ("nonsense\n".to_owned(), Err(Absence::Malformed)),
        ] {
            let (root, host, process) = machine(&mounts);
            let at = |path: &str| root.path().join(path);
            for directory in ["up", "over", "a b,c\\=", "proc/1/root/nowhere/up"] {
                fs::create_dir_all(at(directory)).expect("a directory");
            }
            fs::write(at("file"), "").expect("a file");
            for (link, to) in [("link", "over/../up"), ("round", "round")] {
                std::os::unix::fs::symlink(to, at(link)).expect("a link");
            }
            let known = FileSystems::new(host.roots());
            let find = |process| Ground::find(&host, &known, process).map(|ground| ground.directory.path);
            assert_eq!(find(process), expect.map(at), "{mounts}");
            assert_eq!(find(Process { start_ticks: 100, ..process }), Err(Absence::NotRunning));
            assert_eq!(find(Process { pid: 8, ..process }), Err(Absence::NotRunning));
        }
    }

    /// A mount table of the machine on which one directory is another file system, of that type and source.
    fn mount_at(root: &Path, directory: &str, what: &str) {
        let table = format!(
            "1 0 8:1 / / rw - ext4 /dev/root rw\n2 1 0:77 / {}/{directory} rw - {what} rw\n",
            root.display()
        );
        write(root.join("proc/self/mountinfo"), &table);
    }

    /// A file system that hangs in statvfs, as a dead NFS does: whose layer is on it has no numbers of it, and the others
    /// have theirs.
    #[test]
    fn a_file_system_that_never_answers_costs_its_own_numbers_only() {
        let (root, host, process) = machine(&format!("{ROOT},upperdir=@ROOT@/dead/up,workdir=/w\n"));
        let table = fs::read_to_string(root.path().join("proc/7/mountinfo")).expect("a file");
        write(root.path().join("proc/9/stat"), &format!("9 (x) S{} 99 0 0\n", " 0".repeat(18)));
        write(root.path().join("proc/9/mountinfo"), &table.replace("/dead/", "/alive/"));
        for directory in ["dead/up", "alive/up"] {
            fs::create_dir_all(root.path().join(directory)).expect("a directory");
        }
        mount_at(root.path(), "dead", "nfs4 server:/export");
        let (release, hold) = std::sync::mpsc::channel::<()>();
        let (entered, has_entered) = std::sync::mpsc::channel();
        let hold = Mutex::new(hold);
        let ask = move |path: &Path| {
            if path.ends_with("dead/up") {
                let _ = entered.send(());
                let _ = lock(&hold).recv();
            }
            space(path)
        };
        let known = FileSystems::with(host.roots(), Arc::new(ask));
        let walker = Walker::start(Duration::from_secs(600)).expect("a walker");
        let sampled = |layer: &mut Layer| {
            let mut out = Sample::of_container(Absence::NotCollected, crate::Groups::all());
            layer.fill(&host, &known, &walker, &mut out);
            let limit = out.table(Dimension::Filesystem).entries.iter().any(|entry| {
                let (_, column) = crate::catalogue::get().column(ids::FS_LIMIT).expect("a column");
                entry.cells[column].value().is_some()
            });
            (limit, out.table(Dimension::Filesystem).absence)
        };
        let await_limit = |layer: &mut Layer| {
            while !sampled(layer).0 {
                (layer.space, layer.looked_at) = (None, None);
                std::thread::yield_now();
            }
        };
        let other = Process { pid: 9, ..process };
        let mut dead = Layer::new(1, Some(process));
        // On a busy machine even finding it may take longer than it is waited for.
        while dead.ground.is_err() {
            dead.looked_at = None;
            dead.find(&host, &known);
        }
        assert_eq!(sampled(&mut dead), (false, Some(Absence::Timeout)), "absent, and not 0");
        has_entered.recv().expect("it was asked");
        // Nobody else goes there, whichever container it is of; nor is it asked again.
        let mut same = Layer::new(2, Some(process));
        assert_eq!(sampled(&mut same), (false, Some(Absence::Timeout)));
        dead.space = None;
        assert_eq!(sampled(&mut dead), (false, Some(Absence::Timeout)));
        assert!(has_entered.try_recv().is_err());
        await_limit(&mut Layer::new(3, Some(other)));
        drop(release);
        await_limit(&mut dead);
        await_limit(&mut same);
    }

    /// The same with a real one: a file system in user space that nobody serves, as a hung daemon leaves it.
    #[test]
    fn a_dead_file_system_is_not_waited_for() {
        if !fs::exists("/dev/fuse").unwrap_or(false) {
            skip("there is no /dev/fuse: modprobe fuse");
            return;
        }
        if !may_mount_alone("layer::tests::a_dead_file_system_is_not_waited_for") {
            return;
        }
        let (root, host, process) = machine(&format!("{ROOT},upperdir=@ROOT@/dead/up,workdir=/w\n"));
        fs::create_dir(root.path().join("dead")).expect("a directory");
        let fuse = fs::File::options().read(true).write(true).open("/dev/fuse").expect("/dev/fuse");
        // The one way to hand a descriptor to mount(8) is to be its parent, so this is the system call.
        let data =
            format!("fd={},rootmode=40000,user_id=0,group_id=0", std::os::fd::AsRawFd::as_raw_fd(&fuse));
        let data = std::ffi::CString::new(data).expect("no NUL");
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("none", root.path().join("dead"), "fuse", flags, &*data).expect("a mount");
        fs::copy("/proc/self/mountinfo", root.path().join("proc/self/mountinfo")).expect("a mount table");

        let known = FileSystems::new(host.roots());
        let mut layer = Layer::new(1, Some(process));
        layer.find(&host, &known);
        assert_eq!(layer.ground.as_ref().err(), Some(&Absence::Timeout));
        // Somebody's log there is not waited for either, nor for long: the file system is known to hang.
        let log = root.path().join("dead/x-json.log");
        let look = || known.places.find(&log, |path| fs::symlink_metadata(path), Metadata::is_file).err();
        assert_eq!(look(), Some(Absence::Timeout));
        let alive = known.places.find(root.path(), |path| fs::metadata(path), Metadata::is_dir);
        let (place, _) = alive.expect("what lies beside it answers");
        assert!(known.space(&place).is_ok());
        // The connection ends with its last descriptor: whoever hung there comes back, and the next is told so.
        drop(fuse);
        while look() == Some(Absence::Timeout) {
            std::thread::yield_now();
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
