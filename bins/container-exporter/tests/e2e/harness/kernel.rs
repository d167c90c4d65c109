//! The kernel's own files of one container, found without any of the project's crates: `/proc/<pid>/cgroup`, and where the
//! hierarchies are mounted.

use std::fs;
use std::path::{Path, PathBuf};

/// One mounted hierarchy.
#[derive(Debug, Clone)]
struct Mount {
    /// v1: its controllers; v2: none.
    controllers: Option<Vec<String>>,
    /// The cgroup that is mounted.
    root: String,
    point: PathBuf,
}

/// Where one container's files are.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    /// The init process.
    pub(crate) pid: u32,
    /// v1 directories by controller.
    v1: Vec<(String, PathBuf)>,
    /// The directory under the v2 mount.
    v2: Option<PathBuf>,
    /// Does v2 have the controllers?
    unified: bool,
}

impl Kernel {
    /// Finds the directories of the container with this id, whose init process has this pid.
    #[track_caller]
    pub(crate) fn of(pid: u32, id: &str) -> Self {
        let mounts = mounts();
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the container runs");
        let mut kernel = Self {
            pid,
            v1: Vec::new(),
            v2: None,
            unified: mounts.iter().all(|mount| mount.controllers.is_none()),
        };
        for line in text.lines() {
            let mut parts = line.splitn(3, ':');
            let (_, Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let path = up_to_id(path, id);
            if controllers.is_empty() {
                let mount = mounts.iter().find(|mount| mount.controllers.is_none());
                kernel.v2 = mount.and_then(|mount| directory(mount, path));
                continue;
            }
            for controller in controllers.split(',') {
                let has = |mount: &&Mount| {
                    mount.controllers.as_ref().is_some_and(|all| all.iter().any(|one| one == controller))
                };
                let found = mounts.iter().find(has).and_then(|mount| directory(mount, path));
                kernel.v1.extend(found.map(|found| (controller.to_owned(), found)));
            }
        }
        kernel
    }

    /// Are the controllers those of cgroup v2?
    pub(crate) fn is_v2(&self) -> bool {
        self.unified
    }

    /// The directory of a controller, named as v1 has it.
    pub(crate) fn directory(&self, controller: &str) -> Option<&Path> {
        if self.unified {
            return self.v2.as_deref();
        }
        self.v1.iter().find(|(name, _)| name == controller).map(|(_, path)| path.as_path())
    }

    /// A v1 file; `None` on v2 and where it is not.
    pub(crate) fn v1(&self, controller: &str, file: &str) -> Option<String> {
        (!self.unified)
            .then(|| self.directory(controller).map(|path| path.join(file)))
            .flatten()
            .and_then(read)
    }

    /// A v2 file; `None` where v2 has no controllers.
    pub(crate) fn v2(&self, file: &str) -> Option<String> {
        self.unified.then(|| self.pressure(file)).flatten()
    }

    /// A pressure file, which is under the v2 mount on hybrid hosts, too.
    pub(crate) fn pressure(&self, file: &str) -> Option<String> {
        read(self.v2.as_ref()?.join(file))
    }

    /// Where the v2 mount is that holds the pressure files beside v1 controllers.
    pub(crate) fn pressure_mount(&self) -> Option<String> {
        let own = self.v2.as_ref().filter(|_| !self.unified)?;
        let mount = mounts()
            .into_iter()
            .find(|mount| mount.controllers.is_none() && own.starts_with(&mount.point))?;
        Some(mount.point.to_str()?.to_owned())
    }

    /// The CPU time used in this run in seconds; `None` once it is over.
    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        if self.unified {
            return Some(key(&self.v2("cpu.stat")?, "usage_usec")? / 1e6);
        }
        Some(number(&self.v1("cpuacct", "cpuacct.usage")?)? / 1e9)
    }

    /// The file that says what the processes' network namespace has sent and received.
    pub(crate) fn net_dev(&self) -> Option<String> {
        read(PathBuf::from(format!("/proc/{}/net/dev", self.pid)))
    }
}

/// A whole file as one number.
pub(crate) fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

/// The number behind a key, a line each.
pub(crate) fn key(text: &str, key: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).and_then(number)
}

fn read(path: PathBuf) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Processes may sit deeper than the container's own cgroup; an engine may add to the id.
fn up_to_id<'a>(path: &'a str, id: &str) -> &'a str {
    let Some(at) = path.rfind(id) else { panic!("{path} does not name {id}") };
    path[at..].find('/').map_or(path, |end| &path[..at + end])
}

fn directory(mount: &Mount, path: &str) -> Option<PathBuf> {
    let below = if mount.root == "/" { path } else { path.strip_prefix(&mount.root)? };
    let directory = mount.point.join(below.trim_start_matches('/'));
    directory.is_dir().then_some(directory)
}

fn mounts() -> Vec<Mount> {
    let text = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let controllers = match *right.first()? {
            "cgroup2" => None,
            "cgroup" => Some(right.get(2)?.split(',').map(str::to_owned).collect()),
            _ => return None,
        };
        Some(Mount { controllers, root: (*left.get(3)?).to_owned(), point: PathBuf::from(left.get(4)?) })
    };
    let mut mounts: Vec<Mount> = text.lines().filter_map(mount).collect();
    // A named hierarchy without controllers, such as systemd's, says nothing of how the others are mounted.
    mounts.retain(|mount| {
        mount.controllers.as_ref().is_none_or(|all| !all.iter().any(|one| one.starts_with("name=")))
    });
    mounts
}
