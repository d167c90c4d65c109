//! The cgroup tree: a container's directories, finding one by its id, and finding all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::host::{Hierarchy, Host};
use crate::key::{Controller, Version};
use crate::paths::{CgroupPath, Found, classify};

/// The directories of one cgroup, per controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    at: [Option<Directory>; Controller::ALL.len()],
}

/// A directory: mount and cgroup are shared with others, since a host may have ten thousand of these.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Directory {
    mount: Arc<Path>,
    cgroup: Arc<str>,
    /// Where the part below the mount begins and ends in `cgroup`.
    relative: (u32, u32),
}

impl Directory {
    fn new(hierarchy: &Hierarchy, cgroup: &Arc<str>) -> Option<Directory> {
        let relative = hierarchy.relative(cgroup)?;
        let start = relative.as_ptr() as usize - cgroup.as_ptr() as usize;
        Some(Directory {
            mount: hierarchy.point.clone(),
            cgroup: cgroup.clone(),
            relative: (start as u32, (start + relative.len()) as u32),
        })
    }

    fn relative(&self) -> &str {
        &self.cgroup[self.relative.0 as usize..self.relative.1 as usize]
    }
}

impl Directories {
    /// The directories that a cgroup path has on this host, whether or not they exist; per controller `None` where it is not
    /// mounted or the path is not below what is mounted.
    #[must_use]
    pub fn of(host: &Host, path: &CgroupPath) -> Directories {
        let at = Controller::ALL.map(|controller| {
            let own = if host.version() == Version::V2 { Controller::Core } else { controller };
            Directory::new(host.hierarchy(own)?, path.shared(own)?)
        });
        Directories { at }
    }

    pub(crate) fn write_path(&self, controller: Controller, path: &mut Vec<u8>) -> bool {
        use std::os::unix::ffi::OsStrExt;
        let Some(directory) = &self.at[controller.index()] else { return false };
        path.clear();
        path.extend_from_slice(directory.mount.as_os_str().as_bytes());
        path.push(b'/');
        path.extend_from_slice(directory.relative().as_bytes());
        true
    }

    /// The directory for a controller's files.
    #[must_use]
    pub fn path(&self, controller: Controller) -> Option<PathBuf> {
        let directory = self.at[controller.index()].as_ref()?;
        Some(if directory.relative().is_empty() {
            directory.mount.to_path_buf()
        } else {
            directory.mount.join(directory.relative())
        })
    }

    /// Whether at least one of the directories exists.
    #[must_use]
    pub fn exist(&self) -> bool {
        Controller::ALL.into_iter().filter_map(|controller| self.path(controller)).any(|path| path.is_dir())
    }
}

/// Bounds on a walk through the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanLimits {
    /// Levels below the mount.
    pub depth_max: usize,
    /// Directories looked into.
    pub directories_max: usize,
    /// Containers returned.
    pub found_max: usize,
}

impl Default for ScanLimits {
    /// 24 levels (three nested engines), 100,000 directories, 20,000 containers.
    fn default() -> ScanLimits {
        ScanLimits { depth_max: 24, directories_max: 100_000, found_max: 20_000 }
    }
}

/// What a walk found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Scan {
    /// The containers, outer ones before those nested in them.
    pub found: Vec<Found>,
    /// Whether a limit ended the walk early.
    pub truncated: bool,
}

/// The containers whose cgroups exist, within the default limits.
#[must_use]
pub fn scan(host: &Host) -> Vec<Found> {
    scan_within(host, ScanLimits::default()).found
}

/// The containers whose cgroups exist.
#[must_use]
pub fn scan_within(host: &Host, limits: ScanLimits) -> Scan {
    let mut scan = Scan::default();
    scan.truncated = !walk(host, limits, |cgroup| {
        if let Some(found) = classify(cgroup)
            && found.path == cgroup
        {
            scan.found.push(found);
        }
        if scan.found.len() < limits.found_max { Step::Enter } else { Step::Stop }
    });
    scan
}

/// What [`choose_within`] does with one cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// It is one of those wanted.
    pub take: bool,
    /// There may be more of them below it.
    pub enter: bool,
}

/// What [`choose_within`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Chosen {
    /// Paths in their hierarchy, beginning with `/`, in order and each once.
    pub cgroups: Vec<String>,
    /// Whether a limit ended the walk early.
    pub truncated: bool,
}

/// The cgroups that `choose` takes, whatever their names. On v1 and hybrid hosts each hierarchy is walked, since a manager
/// may make a cgroup in some of them only; `choose` is then asked about the same path several times.
#[must_use]
pub fn choose_within(host: &Host, limits: ScanLimits, mut choose: impl FnMut(&str) -> Choice) -> Chosen {
    let mut found = BTreeSet::new();
    let mut truncated = false;
    for hierarchy in host.distinct_hierarchies() {
        truncated |= !walk_hierarchy(hierarchy, limits, |cgroup| {
            let choice = choose(cgroup);
            if choice.take {
                if found.len() >= limits.found_max && !found.contains(cgroup) {
                    return Step::Stop;
                }
                found.insert(cgroup.to_owned());
            }
            if choice.enter { Step::Enter } else { Step::Pass }
        });
    }
    Chosen { cgroups: found.into_iter().collect(), truncated }
}

/// The cgroup whose last component is `id`, or ends in it after a prefix (`docker-<id>.scope`): for processes whose path
/// cannot be followed, and for ids of any form.
#[must_use]
pub fn find_by_id(host: &Host, id: &str) -> Option<CgroupPath> {
    let mut found = None;
    walk(host, ScanLimits::default(), |cgroup| {
        let name = cgroup.rsplit('/').next().unwrap_or(cgroup);
        let name = name.strip_suffix(".scope").unwrap_or(name);
        let fits = match name.strip_suffix(id) {
            Some("") => !id.is_empty(),
            Some(prefix) => prefix.ends_with(['-', ':']) && !prefix.ends_with("conmon-") && !id.is_empty(),
            None => false,
        };
        if fits {
            found = Some(CgroupPath::everywhere(cgroup));
        }
        if fits { Step::Stop } else { Step::Enter }
    });
    found
}

impl Host {
    /// The directories of the container that a process belongs to: its paths cut after the id, or, where they do not lead
    /// anywhere from here (a private cgroup namespace), found by the id. `None` if there are none.
    #[must_use]
    pub fn directories(&self, path: &CgroupPath) -> Option<Directories> {
        let cut = path.cut();
        let direct = Directories::of(self, &cut);
        if direct.exist() {
            return Some(direct);
        }
        let found = find_by_id(self, &path.container()?.id)?;
        Some(Directories::of(self, &found))
    }

    /// The hierarchy in which all containers show.
    pub(crate) fn scanned_hierarchy(&self) -> Option<&Hierarchy> {
        use Controller::{Blkio, Core, Cpu, Cpuacct, Memory, Pids};
        [Memory, Cpuacct, Cpu, Pids, Blkio, Core]
            .into_iter()
            .find_map(|controller| self.hierarchy(controller))
    }

    /// The hierarchies with numbers of containers, each once.
    pub(crate) fn distinct_hierarchies(&self) -> Vec<&Hierarchy> {
        use Controller::{Blkio, Core, Cpu, Cpuacct, Memory, Pids};
        let mut distinct: Vec<&Hierarchy> = Vec::new();
        for controller in [Memory, Cpuacct, Cpu, Pids, Blkio, Core] {
            if let Some(hierarchy) = self.hierarchy(controller)
                && !distinct.contains(&hierarchy)
            {
                distinct.push(hierarchy);
            }
        }
        distinct
    }
}

/// Where a walk goes from a cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// On, and into it.
    Enter,
    /// On, past it.
    Pass,
    /// Nowhere.
    Stop,
}

/// [`walk_hierarchy`] through the hierarchy in which all containers show.
fn walk(host: &Host, limits: ScanLimits, visit: impl FnMut(&str) -> Step) -> bool {
    host.scanned_hierarchy().is_none_or(|hierarchy| walk_hierarchy(hierarchy, limits, visit))
}

/// Visits each cgroup below the mount, parents first, until `visit` stops it; symbolic links are not followed. Returns
/// false if it, or a limit, ended the walk.
fn walk_hierarchy(hierarchy: &Hierarchy, limits: ScanLimits, mut visit: impl FnMut(&str) -> Step) -> bool {
    let mut queue = std::collections::VecDeque::from([(String::new(), 0)]);
    let mut left = limits.directories_max;
    let mut complete = true;
    while let Some((relative, depth)) = queue.pop_front() {
        let directory =
            if relative.is_empty() { hierarchy.point.to_path_buf() } else { hierarchy.point.join(&relative) };
        // A cgroup that is gone by now is none.
        let Ok(entries) = fs::read_dir(directory) else { continue };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if left == 0 {
                return false;
            }
            left -= 1;
            let child = if relative.is_empty() { name.to_owned() } else { format!("{relative}/{name}") };
            match visit(&hierarchy.cgroup(&child)) {
                Step::Stop => return false,
                Step::Pass => continue,
                Step::Enter => {}
            }
            if depth + 1 < limits.depth_max {
                queue.push_back((child, depth + 1));
            } else {
                complete = false;
            }
        }
    }
    complete
}
