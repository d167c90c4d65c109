//! The machine: its cgroup version, where the controllers are mounted, its namespaces, processes and disks.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::file::read_file;
use crate::key::{Controller, Units, Version};
use crate::parse::{self, Mount};
use crate::paths::CgroupPath;

/// Where the kernel's file systems are mounted. Tests and containers put them elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// Usually `/sys/fs/cgroup`.
    pub cgroup: PathBuf,
    /// Usually `/proc`.
    pub proc: PathBuf,
}

impl Default for Roots {
    fn default() -> Roots {
        Roots { cgroup: "/sys/fs/cgroup".into(), proc: "/proc".into() }
    }
}

impl Roots {
    /// The roots of a tree that holds `sys/fs/cgroup` and `proc`.
    #[must_use]
    pub fn under(root: &Path) -> Roots {
        Roots { cgroup: root.join("sys/fs/cgroup"), proc: root.join("proc") }
    }
}

/// How cgroups are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// v1 hierarchies only.
    V1,
    /// v1 hierarchies, and a v2 mount without controllers beside them.
    Hybrid,
    /// The unified hierarchy only.
    V2,
}

impl Layout {
    /// `v1`, `hybrid` or `v2`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Layout::V1 => "v1",
            Layout::Hybrid => "hybrid",
            Layout::V2 => "v2",
        }
    }
}

/// Which namespace of a kind this process lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// The one the machine booted with.
    Initial,
    /// One of its own, as in a container.
    Private,
    /// `/proc` does not tell.
    Unknown,
}

/// Why the machine's cgroups cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Neither the mount table nor the directory shows a cgroup file system.
    #[error(
        "failed to find a cgroup file system at {}: mount one there, or name the directory where the host's is mounted",
        .0.display()
    )]
    NoCgroups(PathBuf),
    /// Something that must be read could not be.
    #[error("failed to read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Where it is mounted.
    pub(crate) point: Arc<Path>,
    /// The cgroup that is mounted there, `/` for all of it.
    pub(crate) root: Arc<str>,
}

impl Hierarchy {
    /// The directory of a cgroup relative to the mount, empty for the mount itself; `None` if it is not below what is
    /// mounted.
    pub(crate) fn relative<'a>(&self, cgroup: &'a str) -> Option<&'a str> {
        let below = if &*self.root == "/" { cgroup } else { cgroup.strip_prefix(&*self.root)? };
        let is_below = below.is_empty() || below.starts_with('/');
        // In a private namespace the root itself may read `/..`; what climbs further leads out of the mount.
        (is_below && !below.split('/').any(|name| name == "..")).then(|| below.trim_matches('/'))
    }

    /// The cgroup of a directory below the mount.
    pub(crate) fn cgroup(&self, relative: &str) -> String {
        let root = self.root.trim_end_matches('/');
        if relative.is_empty() && root.is_empty() { "/".to_owned() } else { format!("{root}/{relative}") }
    }
}

/// About the length of a mount table's line.
const LINE_BYTES: usize = 512;

/// No architecture has more sizes of huge pages.
const HUGE_PAGE_SIZES_MAX: usize = 16;

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) roots: Roots,
    layout: Layout,
    hierarchies: [Option<Hierarchy>; Controller::ALL.len()],
    pub(crate) units: Units,
    /// Whether the hierarchies are the kernel's, and not a copy of its files in a test's directory.
    pub(crate) is_kernel: bool,
}

/// The machine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Host {
    pub(crate) inner: Arc<Inner>,
}

impl Host {
    /// Finds the cgroup version and the controllers' mounts, from the mount table or, where that shows none, by looking
    /// into the directory.
    ///
    /// # Errors
    /// [`HostError::NoCgroups`] if neither shows a hierarchy.
    pub fn detect(roots: &Roots) -> Result<Host, HostError> {
        let mut hierarchies = mounted(roots);
        if hierarchies.iter().all(Option::is_none) {
            hierarchies = scanned(&roots.cgroup);
        }
        let unified = hierarchies[Controller::Core.index()].clone();
        let has_v1 =
            hierarchies.iter().enumerate().any(|(at, one)| at != Controller::Core.index() && one.is_some());
        let layout = match (has_v1, &unified) {
            (true, None) => Layout::V1,
            (true, Some(_)) => Layout::Hybrid,
            (false, Some(_)) => Layout::V2,
            (false, None) => return Err(HostError::NoCgroups(roots.cgroup.clone())),
        };
        if layout == Layout::V2 {
            hierarchies = std::array::from_fn(|_| unified.clone());
        }
        let is_kernel = hierarchies.iter().flatten().all(|hierarchy| is_cgroup_fs(&hierarchy.point));
        let units = Units {
            user_hz: rustix::param::clock_ticks_per_second(),
            page_bytes: rustix::param::page_size() as u64,
        };
        Ok(Host { inner: Arc::new(Inner { roots: roots.clone(), layout, hierarchies, units, is_kernel }) })
    }

    /// Whether cgroup file systems still stand where they were found. Some microseconds.
    #[must_use]
    pub fn is_mounted(&self) -> bool {
        let stands = |point: &Path| if self.inner.is_kernel { is_cgroup_fs(point) } else { point.is_dir() };
        self.inner.hierarchies.iter().flatten().all(|hierarchy| stands(&hierarchy.point))
    }

    /// Whether another look found the same hierarchies at the same places.
    #[must_use]
    pub fn has_mounts_of(&self, other: &Host) -> bool {
        self.inner.layout == other.inner.layout && self.inner.hierarchies == other.inner.hierarchies
    }

    /// The version whose files plans read: v1 for v1 and hybrid hosts.
    #[must_use]
    pub fn version(&self) -> Version {
        if self.inner.layout == Layout::V2 { Version::V2 } else { Version::V1 }
    }

    /// How cgroups are mounted.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.inner.layout
    }

    /// The roots it was found under.
    #[must_use]
    pub fn roots(&self) -> &Roots {
        &self.inner.roots
    }

    /// The units in which this kernel counts.
    #[must_use]
    pub fn units(&self) -> Units {
        self.inner.units
    }

    /// Where a controller is mounted; [`Controller::Core`] is the unified hierarchy.
    #[must_use]
    pub fn mount(&self, controller: Controller) -> Option<&Path> {
        self.hierarchy(controller).map(|hierarchy| &*hierarchy.point)
    }

    pub(crate) fn hierarchy(&self, controller: Controller) -> Option<&Hierarchy> {
        self.inner.hierarchies[controller.index()].as_ref()
    }

    /// The controllers that can be read: on v1 those mounted, on v2 those in the root's `cgroup.controllers`; without
    /// [`Controller::Core`].
    #[must_use]
    pub fn controllers(&self) -> Vec<Controller> {
        let offered = match (self.inner.layout, self.mount(Controller::Core)) {
            (Layout::V2, Some(point)) => {
                Some(fs::read_to_string(point.join("cgroup.controllers")).unwrap_or_default())
            }
            _ => None,
        };
        Controller::ALL
            .into_iter()
            .filter(|&controller| match (&offered, controller.v2_name()) {
                _ if controller == Controller::Core => false,
                (None, _) => self.hierarchy(controller).is_some(),
                (Some(offered), Some(name)) => offered.split_whitespace().any(|word| word == name),
                (Some(_), None) => false,
            })
            .collect()
    }

    /// This process's cgroup namespace. In a private one, other containers' paths read `/../<id>`.
    #[must_use]
    pub fn cgroup_namespace(&self) -> Namespace {
        // The kernel gives its first namespaces fixed inode numbers (include/linux/proc_ns.h).
        self.namespace("cgroup", 0xEFFF_FFFB)
    }

    /// This process's pid namespace. In a private one, the engine's pids mean other processes, or none.
    #[must_use]
    pub fn pid_namespace(&self) -> Namespace {
        self.namespace("pid", 0xEFFF_FFFC)
    }

    fn namespace(&self, kind: &str, initial: u64) -> Namespace {
        match namespace_inode(&self.inner.roots.proc.join("self/ns").join(kind)) {
            Ok(inode) if inode == initial => Namespace::Initial,
            Ok(_) => Namespace::Private,
            Err(_) => Namespace::Unknown,
        }
    }

    /// The inode number of a process's network namespace: processes that share it share their interfaces.
    ///
    /// # Errors
    /// [`HostError::Read`]; not found means that the process has ended.
    pub fn network_namespace(&self, pid: u32) -> Result<u64, HostError> {
        let path = self.proc_file(pid, "ns/net");
        namespace_inode(&path).map_err(|source| HostError::Read { path, source })
    }

    /// Whether a process uses the network namespace of pid 1, so the host's.
    ///
    /// # Errors
    /// As [`Host::network_namespace`].
    pub fn uses_host_network(&self, pid: u32) -> Result<bool, HostError> {
        Ok(self.network_namespace(pid)? == self.network_namespace(1)?)
    }

    /// The cgroups of a process.
    ///
    /// # Errors
    /// [`HostError::Read`]; not found means that the process has ended.
    pub fn cgroup_path(&self, pid: u32) -> Result<CgroupPath, HostError> {
        let path = self.proc_file(pid, "cgroup");
        read_file(&path)
            .map(|bytes| CgroupPath::parse(&bytes))
            .map_err(|source| HostError::Read { path, source })
    }

    /// What is mounted at the root of a process; `None` if its mount table does not say. The kernel makes that table line by line as it
    /// is read, and the root stands at its beginning: the rest is left unread.
    ///
    /// # Errors
    /// [`HostError::Read`]; not found means that the process has ended.
    pub fn root_mount(&self, pid: u32) -> Result<Option<Mount>, HostError> {
        let path = self.proc_file(pid, "mountinfo");
        let mut lines = Vec::with_capacity(4 * LINE_BYTES);
        let read = fs::File::open(&path).and_then(|mut file| {
            loop {
                let begun = lines.len();
                lines.resize(begun + LINE_BYTES, 0);
                let read = match file.read(&mut lines[begun..]) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                    Ok(0) => return Ok(parse::root_mount(&lines[..begun])),
                    read => read?,
                };
                lines.truncate(begun + read);
                let whole = lines.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
                if let Some(root) = parse::root_mount(&lines[..whole]) {
                    return Ok(Some(root));
                }
                lines.drain(..whole);
            }
        });
        read.map_err(|source| HostError::Read { path, source })
    }

    /// The process as it is now, with the start time that tells it from a later one of the same pid.
    ///
    /// # Errors
    /// [`HostError::Read`]; not found means that the process has ended.
    pub fn process(&self, pid: u32) -> Result<Process, HostError> {
        let path = self.proc_file(pid, "stat");
        let started = read_file(&path).and_then(|stat| {
            parse::start_ticks(&stat).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        });
        started
            .map(|start_ticks| Process { pid, start_ticks })
            .map_err(|source| HostError::Read { path, source })
    }

    /// Whether the process still runs, and its pid was not given to another.
    #[must_use]
    pub fn is_running(&self, process: Process) -> bool {
        self.process(process.pid).is_ok_and(|now| now == process)
    }

    /// The name of a disk (`vda`), from `/sys/dev/block` or `/proc/partitions`. It reads files: keep the answers.
    #[must_use]
    pub fn device_name(&self, major: u32, minor: u32) -> Option<String> {
        self.device_from_sys(major, minor).or_else(|| self.device_from_partitions(major, minor))
    }

    /// The sizes of huge pages that this kernel has, as it names the files of the controller `hugetlb`: `2MB`, `1GB`. None where
    /// `/sys` cannot be seen.
    #[must_use]
    pub fn huge_page_sizes(&self) -> Vec<String> {
        let cgroup = &self.inner.roots.cgroup;
        let sys = if cgroup.ends_with("fs/cgroup") { cgroup.parent().and_then(Path::parent) } else { None };
        let entries = sys.and_then(|sys| fs::read_dir(sys.join("kernel/mm/hugepages")).ok());
        let mut kib: Vec<u64> = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let name = entry.ok()?.file_name();
                name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()
            })
            .take(HUGE_PAGE_SIZES_MAX)
            .collect();
        kib.sort_unstable();
        kib.into_iter()
            .map(|kib| match kib {
                0x10_0000.. => format!("{}GB", kib >> 20),
                0x400.. => format!("{}MB", kib >> 10),
                _ => format!("{kib}KB"),
            })
            .collect()
    }

    fn device_from_sys(&self, major: u32, minor: u32) -> Option<String> {
        let cgroup = &self.inner.roots.cgroup;
        let sys = if cgroup.ends_with("fs/cgroup") { cgroup.parent()?.parent()? } else { return None };
        let uevent = fs::read_to_string(sys.join(format!("dev/block/{major}:{minor}/uevent"))).ok()?;
        let name = uevent.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
        (!name.is_empty()).then(|| name.to_owned())
    }

    fn device_from_partitions(&self, major: u32, minor: u32) -> Option<String> {
        let text = fs::read_to_string(self.inner.roots.proc.join("partitions")).ok()?;
        text.lines().find_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let [a, b, _, name] = words[..] else { return None };
            (a.parse() == Ok(major) && b.parse() == Ok(minor)).then(|| name.to_owned())
        })
    }

    pub(crate) fn proc_file(&self, pid: u32, file: &str) -> PathBuf {
        self.inner.roots.proc.join(pid.to_string()).join(file)
    }
}

/// A process, named for good: pids are given again, start times with them are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its pid as this process sees it.
    pub pid: u32,
    /// Its start, in clock ticks after boot.
    pub start_ticks: u64,
}

/// `net:[4026531840]`
fn namespace_inode(path: &Path) -> io::Result<u64> {
    let target = fs::read_link(path)?;
    let text = target.to_string_lossy();
    let inode = text.rsplit_once('[').and_then(|(_, rest)| rest.strip_suffix(']')?.parse().ok());
    inode.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("unexpected link {text}")))
}

fn is_cgroup_fs(path: &Path) -> bool {
    const CGROUP: i64 = 0x0027_e0eb;
    const CGROUP2: i64 = 0x6367_7270;
    #[expect(clippy::allow_attributes, reason = "the field's type differs between targets")]
    #[allow(clippy::unnecessary_cast)]
    rustix::fs::statfs(path).is_ok_and(|fs| matches!(fs.f_type as i64, CGROUP | CGROUP2))
}

type Hierarchies = [Option<Hierarchy>; Controller::ALL.len()];

/// From the mount table of this process.
fn mounted(roots: &Roots) -> Hierarchies {
    let mut found = Hierarchies::default();
    let bytes = read_file(&roots.proc.join("self/mountinfo")).unwrap_or_default();
    for mount in parse::mountinfo(&bytes) {
        let Some(point) = visible(roots, &mount) else { continue };
        let hierarchy = Hierarchy { point: point.into(), root: mount.root.as_str().into() };
        let controllers: Vec<Controller> = match mount.fs_type.as_str() {
            "cgroup" => mount.options().filter_map(Controller::from_kernel).collect(),
            _ => vec![Controller::Core],
        };
        for controller in controllers {
            // Where a hierarchy is mounted twice, the mount that shows more of it is the better one.
            let place = &mut found[controller.index()];
            if place.as_ref().is_none_or(|before| hierarchy.root.len() < before.root.len()) {
                *place = Some(hierarchy.clone());
            }
        }
    }
    found
}

/// Where a cgroup mount is found under our roots: at its mount point, or (a tree copied or bound elsewhere) at the same place
/// below the given root.
fn visible(roots: &Roots, mount: &Mount) -> Option<PathBuf> {
    if mount.fs_type != "cgroup" && mount.fs_type != "cgroup2" {
        return None;
    }
    let point = Path::new(&mount.point);
    let point = if point.starts_with(&roots.cgroup) {
        point.to_owned()
    } else {
        let below = point.strip_prefix("/sys/fs/cgroup").ok()?;
        if below.as_os_str().is_empty() { roots.cgroup.clone() } else { roots.cgroup.join(below) }
    };
    let is_there =
        if mount.fs_type == "cgroup2" { point.join("cgroup.controllers").exists() } else { point.is_dir() };
    is_there.then_some(point)
}

/// From the directories themselves: `cpu,cpuacct`, `memory`, `unified`, or v2's own files.
fn scanned(root: &Path) -> Hierarchies {
    let mut found = Hierarchies::default();
    let hierarchy = |point: PathBuf| Some(Hierarchy { point: point.into(), root: "/".into() });
    if root.join("cgroup.controllers").exists() {
        found[Controller::Core.index()] = hierarchy(root.to_owned());
        return found;
    }
    let Ok(entries) = fs::read_dir(root) else { return found };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if entry.path().join("cgroup.controllers").exists() {
            found[Controller::Core.index()] = hierarchy(entry.path());
            continue;
        }
        // A co-mounted pair also has a symbolic link for each name: either leads there.
        for controller in name.split(',').filter_map(Controller::from_kernel) {
            found[controller.index()] = hierarchy(entry.path());
        }
    }
    found
}
