//! Where paths lead, what is mounted there, and which file systems may be asked while sampling.
//!
//! A file system of the network (NFS), or one that a process serves (FUSE), may never answer, and who asks it never comes back.
//! What is mounted where is known without asking. So a path is followed link by link through file systems that answer by
//! themselves; what lies on any other is asked aside ([`super::aside`]).

use std::{
    collections::HashMap,
    ffi::OsString,
    fs::Metadata,
    io,
    os::unix::{ffi::OsStringExt as _, fs::MetadataExt as _},
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cgroup_reader::{Host, Process, Roots, parse, read_file};

use super::{aside::Aside, lock, reason::reason};
use crate::Absence;

/// Types of file systems that answer without anybody else: asking them about what is in use takes a microsecond.
const ANSWERING: &[&str] = &[
    "bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "rootfs",
    "squashfs", "tmpfs", "xfs", "zfs",
];
/// How long a mount table is good for, and before which time it is not read again even where it seems to be old: it grows with
/// each container.
const TABLE_FRESH: Duration = Duration::from_secs(60);
const TABLE_REST: Duration = Duration::from_secs(1);
/// Links that one path may lead over, as in the kernel.
const LINKS_MAX: usize = 40;

/// What a process has mounted.
#[derive(Debug)]
pub(super) struct MountTable(Vec<parse::Mount>);

impl MountTable {
    /// That of a process; if another has its pid meanwhile, it is not running.
    pub(super) fn of(host: &Host, process: Process) -> Result<Self, Absence> {
        let path = host.roots().proc.join(process.pid.to_string()).join("mountinfo");
        let bytes = read_file(&path).map_err(|error| reason(&error))?;
        if !host.is_running(process) {
            return Err(Absence::NotRunning);
        }
        Ok(Self(parse::mountinfo(&bytes).collect()))
    }

    /// What is mounted at a path; a later mount hides an earlier one.
    pub(super) fn at(&self, point: &str) -> Option<&parse::Mount> {
        self.0.iter().rfind(|mount| Path::new(&mount.point) == Path::new(point))
    }
}

/// A place in a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// As it can be reached from here.
    pub(super) path: PathBuf,
    /// What is mounted there, where that is known.
    mounted: Option<Mounted>,
}

impl Place {
    /// What is mounted there, if that is a file.
    pub(super) fn source(&self) -> Option<&Arc<str>> {
        let source = &self.mounted.as_ref()?.source;
        (source.starts_with('/') && **source != *"/dev/root").then_some(source)
    }
}

/// A mount, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mounted {
    device: u64,
    source: Arc<str>,
    /// It answers by itself.
    answers: bool,
}

/// Ways to reach what the engine or the kernel names: as this process sees it, and as the first process does.
pub(super) struct Places {
    views: [View; 2],
    aside: Arc<Aside>,
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Places").finish_non_exhaustive()
    }
}

impl Places {
    pub(super) fn new(roots: &Roots) -> Self {
        let view = |root: PathBuf, of: &str| View {
            root,
            file: roots.proc.join(of).join("mountinfo"),
            table: Mutex::default(),
        };
        let views = [view("/".into(), "self"), view(roots.proc.join("1/root"), "1")];
        Self { views, aside: Arc::default() }
    }

    /// The first view in which a look at what a path leads to finds what fits. Links are followed.
    pub(super) fn find(
        &self,
        path: &Path,
        look: impl Fn(&Path) -> io::Result<Metadata> + Clone + Send + 'static,
        fits: impl Fn(&Metadata) -> bool,
    ) -> Result<(Place, Metadata), Absence> {
        let mut absence = Absence::NotReachable;
        for view in &self.views {
            let mut found = self.look(view, path, TABLE_FRESH, look.clone());
            let is_old = |(place, metadata): &(Place, Metadata)| {
                place.mounted.as_ref().is_some_and(|mounted| mounted.device != metadata.dev())
            };
            // Something was mounted after the table had been read; or the file system has several devices (btrfs).
            if found.as_ref().is_ok_and(is_old) {
                found = self.look(view, path, TABLE_REST, look.clone());
            }
            match found {
                Ok(found) if fits(&found.1) => return Ok(found),
                Err(Absence::Timeout) => absence = Absence::Timeout,
                Err(Absence::PermissionDenied) if absence != Absence::Timeout => {
                    absence = Absence::PermissionDenied;
                }
                Ok(_) | Err(_) => {}
            }
        }
        Err(absence)
    }

    fn look(
        &self,
        view: &View,
        path: &Path,
        fresh: Duration,
        look: impl Fn(&Path) -> io::Result<Metadata> + Send + 'static,
    ) -> Result<(Place, Metadata), Absence> {
        let place = view.follow(path, &view.table(fresh)).map_err(|error| reason(&error))?;
        let metadata = self.ask(&place, look)?.map_err(|error| reason(&error))?;
        Ok((place, metadata))
    }

    /// Asks something of a place; absent as [`Absence::Timeout`] where its file system does not answer.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        place: &Place,
        question: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> Result<T, Absence> {
        match &place.mounted {
            Some(mounted) if mounted.answers => Ok(question(&place.path)),
            // What is not known shares one thread.
            mounted => {
                let device = mounted.as_ref().map(|mounted| mounted.device);
                let path = place.path.clone();
                self.aside.ask(device, &place.path, move || question(&path))
            }
        }
    }
}

/// Mounts by where they are.
type Table = HashMap<PathBuf, Mounted>;

/// The tree of directories, as a process sees it.
struct View {
    /// Where its root is reached from here.
    root: PathBuf,
    /// Its mount table.
    file: PathBuf,
    table: Mutex<Option<(Instant, Arc<Table>)>>,
}

impl View {
    /// The mount table, no older than that.
    fn table(&self, fresh: Duration) -> Arc<Table> {
        let mut known = lock(&self.table);
        if let Some((at, table)) = &*known
            && at.elapsed() < fresh
        {
            return Arc::clone(table);
        }
        let bytes = read_file(&self.file).unwrap_or_default();
        let table = Arc::new(table(&bytes));
        *known = Some((Instant::now(), Arc::clone(&table)));
        table
    }

    /// Where a path leads, asking nobody but file systems that answer.
    fn follow(&self, path: &Path, table: &Table) -> io::Result<Place> {
        let mut rest: Vec<OsString> = names(path);
        let (mut at, mut links) = (PathBuf::from("/"), 0);
        let mounted_at = |at: &Path| at.ancestors().find_map(|point| table.get(point));
        while let Some(name) = rest.pop() {
            let next = if name == ".." { at.parent().unwrap_or(&at).to_owned() } else { at.join(&name) };
            if !mounted_at(&next).is_some_and(|mounted| mounted.answers) {
                let rest: PathBuf = rest.iter().rev().collect();
                return Ok(self.place(&next.join(rest), mounted_at(&next)));
            }
            match rustix::fs::readlink(self.reach(&next), Vec::new()) {
                Ok(_) if links >= LINKS_MAX => return Err(rustix::io::Errno::LOOP.into()),
                Ok(target) => {
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    links += 1;
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    rest.extend(names(&target));
                }
                // It is no link.
                Err(rustix::io::Errno::INVAL) => at = next,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(self.place(&at, mounted_at(&at)))
    }

    fn place(&self, at: &Path, mounted: Option<&Mounted>) -> Place {
        Place { path: self.reach(at), mounted: mounted.cloned() }
    }

    fn reach(&self, at: &Path) -> PathBuf {
        self.root.join(at.strip_prefix("/").unwrap_or(at))
    }
}

/// The names in a path, the last first.
fn names(path: &Path) -> Vec<OsString> {
    let is_name = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(is_name).map(|part| part.as_os_str().to_owned()).rev().collect()
}

fn table(bytes: &[u8]) -> Table {
    let mut sources: HashMap<String, Arc<str>> = HashMap::new();
    // The roots of containers and their namespaces are most of a long table, and no layer is on them.
    let is_kept = |mount: &parse::Mount| match mount.fs_type.as_str() {
        "nsfs" => false,
        "overlay" => mount.point == "/",
        _ => true,
    };
    let entry = |mount: parse::Mount| {
        let (major, minor) = mount.device;
        let source = sources.entry(mount.source).or_insert_with_key(|source| source.as_str().into());
        let answers = ANSWERING.contains(&mount.fs_type.as_str());
        let device = rustix::fs::makedev(major, minor);
        (PathBuf::from(mount.point), Mounted { device, source: Arc::clone(source), answers })
    };
    parse::mountinfo(bytes).filter(is_kept).map(entry).collect()
}
