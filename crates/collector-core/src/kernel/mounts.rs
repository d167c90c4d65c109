//! Volumes and bind mounts of one container, measured in the background, and the size of its log.
//!
//! Nothing here asks a mounted file system while sampling, since a dead one (NFS) never answers: what is mounted where is read
//! from `/proc/<pid>/mountinfo`, the rest is left to the walker. The log is asked for aside, where its file system may hang
//! ([`super::places`]).

use std::{
    fs::{self, Metadata},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use cgroup_reader::{Host, Process};

use super::{
    places::{MountTable, Places},
    tree::{Found, Target, Way},
    walk::Walker,
};
use crate::{Absence, Container, Mount, Reading, Sample, Value, catalogue::Dimension, catalogue::ids};

/// Mounts of one container that are measured, at most.
const MOUNTS_MAX: usize = 32;
/// How long the log's size is good for, and after how long what was not found is looked for again.
const FRESH: Duration = Duration::from_secs(10);
/// File systems without a size.
const VIRTUAL: &[&str] = &[
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "fusectl",
    "mqueue",
    "nsfs",
    "proc",
    "securityfs",
    "sysfs",
    "tracefs",
];

/// One container's.
#[derive(Debug)]
pub(super) struct Mounts {
    token: u64,
    process: Option<Process>,
    told: Arc<[Mount]>,
    log: Option<Arc<str>>,
    log_bytes: Option<(Instant, Reading)>,
    looked_at: Option<Instant>,
    /// Of what was told, what was found, and why something was not.
    found: Result<Vec<usize>, Absence>,
    absence: Option<Absence>,
}

impl Mounts {
    /// Of the container with that init process; nothing is read yet.
    pub(super) fn new(token: u64, process: Option<Process>, container: &Container) -> Self {
        let (told, log) = (Arc::clone(&container.mounts), container.log_path.clone());
        let found = Err(Absence::NotReachable);
        Self { token, process, told, log, log_bytes: None, looked_at: None, found, absence: None }
    }

    /// Fills the rows of the group disk, and has the mounts walked from the first time on.
    pub(super) fn fill(&mut self, host: &Host, places: &Places, walker: &Walker, out: &mut Sample) {
        self.fill_log(places, out);
        let layer = walker.found((self.token, 0));
        let age = layer.map_or(Reading::Absent(Absence::NotCollected), |found| age(&found));
        out.set(ids::FS_USAGE_AGE, age);
        if self.told.is_empty() {
            return;
        }
        if self.found.is_err() && self.looked_at.is_none_or(|at| at.elapsed() >= FRESH) {
            self.looked_at = Some(Instant::now());
            self.found = self.find(host, walker);
        }
        let table = out.table_mut(Dimension::Mount);
        table.absence = self.absence;
        match &self.found {
            Ok(found) => {
                for place in found {
                    show(&self.told[*place], walker.found(job(self.token, *place)), out);
                }
            }
            Err(reason) => table.absence = Some(*reason),
        }
    }

    /// Finds what the engine told in the process's mount table, and hands it to the walker.
    fn find(&mut self, host: &Host, walker: &Walker) -> Result<Vec<usize>, Absence> {
        let process = self.process.ok_or(Absence::NotReachable)?;
        let proc = &host.roots().proc;
        let of_process = proc.join(process.pid.to_string());
        let mounts = MountTable::of(host, process)?;
        self.absence = (self.told.len() > MOUNTS_MAX).then_some(Absence::TooMany);
        let mut found = Vec::new();
        for (place, told) in self.told.iter().enumerate().take(MOUNTS_MAX) {
            let Some(mount) = mounts.at(&told.destination) else {
                // Unmounted, or its point is a link in the container.
                self.absence = Some(Absence::NotReachable);
                continue;
            };
            if VIRTUAL.contains(&mount.fs_type.as_str()) {
                continue;
            }
            let way = |from: &Path, to: &str| Way { from: from.to_owned(), to: to.into() };
            // What the container itself sees; then, for who may not look there, where the engine says that it comes from.
            let mut ways = vec![way(&of_process.join("root"), &told.destination)];
            if let Some(source) = &told.source {
                ways.push(way(Path::new("/"), source));
                ways.push(way(&proc.join("1/root"), source));
            }
            let (major, minor) = mount.device;
            walker.add(job(self.token, place), Target { ways, device: rustix::fs::makedev(major, minor) });
            found.push(place);
        }
        Ok(found)
    }

    fn fill_log(&mut self, places: &Places, out: &mut Sample) {
        let reading = match self.log_bytes {
            Some((at, reading)) if at.elapsed() < FRESH => reading,
            _ => self.log_bytes.insert((Instant::now(), log_bytes(places, self.log.as_deref()))).1,
        };
        out.set(ids::LOG_SIZE, reading);
    }
}

/// The walker's number of a mount: 0 is the writable layer.
fn job(token: u64, place: usize) -> (u64, u32) {
    (token, u32::try_from(place + 1).unwrap_or(u32::MAX))
}

fn age(found: &Found) -> Reading {
    Reading::Value(Value::Nanos(u64::try_from(found.at.elapsed().as_nanos()).unwrap_or(u64::MAX)))
}

fn show(mount: &Mount, found: Option<Found>, out: &mut Sample) {
    let Some(found) = found else {
        out.table_mut(Dimension::Mount).absence = Some(Absence::NotCollected);
        return;
    };
    let labels = [&*mount.destination, mount.name.as_deref().unwrap_or_default(), &*mount.kind];
    out.set_in(ids::MOUNT_AGE, &labels, age(&found));
    match found.used {
        Ok(bytes) => out.set_in(ids::MOUNT_USAGE, &labels, Reading::int(bytes)),
        Err(reason) => out.table_mut(Dimension::Mount).absence = Some(reason),
    }
    match found.space {
        Ok(space) => {
            for (row, value) in [
                (ids::MOUNT_LIMIT, space.bytes),
                (ids::MOUNT_AVAILABLE, space.bytes_available),
                (ids::MOUNT_INODES_TOTAL, space.inodes_total),
                (ids::MOUNT_INODES_FREE, space.inodes_free),
            ] {
                out.set_in(row, &labels, Reading::int(value));
            }
        }
        Err(reason) => out.table_mut(Dimension::Mount).absence = Some(reason),
    }
}

/// Of the file itself: the last step follows no link.
fn log_bytes(places: &Places, log: Option<&str>) -> Reading {
    let log = log.map(Path::new).filter(|log| log.is_absolute());
    let Some((directory, name)) = log.and_then(|log| Some((log.parent()?, log.file_name()?.to_owned())))
    else {
        return Reading::Absent(Absence::NoFile);
    };
    let look = move |directory: &Path| fs::symlink_metadata(directory.join(&name));
    match places.find(directory, look, Metadata::is_file) {
        Ok((_, metadata)) => Reading::int(metadata.len()),
        Err(reason) => Reading::Absent(reason),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::{ContainerId, Engine, Groups, State, kernel::layer::tests::machine};

    /// `MAJOR:MINOR` of the device that temporary directories are on.
    fn device() -> String {
        let device = fs::metadata(std::env::temp_dir()).expect("metadata").dev();
        format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
    }

    fn told(destination: &str, source: Option<String>) -> Mount {
        let mut mount = Mount::new(destination, "volume");
        mount.name = Some("data".into());
        mount.source = source.map(Arc::from);
        mount
    }

    fn mounts(process: Process, told: Vec<Mount>, log: Option<String>) -> Mounts {
        let mut container = Container::new(ContainerId::new("a"), Engine::Docker, State::Running);
        container.mounts = told.into();
        container.log_path = log.map(Arc::from);
        Mounts::new(1, Some(process), &container)
    }

    /// Samples until every walk has ended.
    fn settled(mounts: &mut Mounts, host: &Host) -> Sample {
        let walker = Walker::start(Duration::from_secs(600)).expect("a walker");
        let places = Places::new(host.roots());
        loop {
            let mut out = Sample::of_container(Absence::NotCollected, Groups::all());
            mounts.fill(host, &places, &walker, &mut out);
            if out.table(Dimension::Mount).absence != Some(Absence::NotCollected) {
                return out;
            }
            std::thread::yield_now();
        }
    }

    fn cell(sample: &Sample, mount: &str, row: crate::catalogue::RowId) -> Option<u64> {
        let (dimension, column) = crate::catalogue::get().column(row).expect("a column");
        let entries = &sample.table(dimension).entries;
        entries.iter().find(|entry| &*entry.labels[0] == mount)?.cells[column].as_u64()
    }

    #[test]
    fn a_volume_is_measured_where_the_container_sees_it_or_where_it_comes_from() {
        let table = format!(
            "111 61 0:50 / / rw - overlay overlay rw\n\
             120 111 {0} /x /data\\040dir rw - ext4 /dev/x rw\n\
             123 111 {0} /x\\134y /a\\134b\\011c\\012d,e\\043 rw shared:1 master:2 - ext4 /dev/x rw\n\
             124 111 {0} /x /not\\377utf8 rw - ext4 /dev/x rw\n\
             121 111 {0} /y /source rw - ext4 /dev/x rw\n\
             122 111 0:5 / /host/proc rw - proc proc rw\n",
            device()
        );
        let (root, host, process) = machine(&table);
        let at = |path: &str| root.path().join(path);
        for directory in ["proc/7/root/data dir", "proc/7/root/a\\b\tc\nd,e#", "from/engine"] {
            fs::create_dir_all(at(directory)).expect("a directory");
            fs::write(at(directory).join("file"), vec![1_u8; 100_000]).expect("a file");
        }
        let source = Some(at("from/engine").display().to_string());
        let list = vec![
            told("/data dir", None),
            told("/source", source),
            told("/a\\b\tc\nd,e#/", None),
            told("/host/proc", Some("/proc".into())),
        ];
        let sample = settled(&mut mounts(process, list, None), &host);
        assert_eq!(sample.table(Dimension::Mount).absence, None);
        let said = rustix::fs::statvfs(root.path()).expect("a file system");
        for mount in ["/data dir", "/source", "/a\\b\tc\nd,e#/"] {
            let used = cell(&sample, mount, ids::MOUNT_USAGE).expect("bytes");
            assert!((100_000..200_000).contains(&used), "{mount}: {used}");
            assert_eq!(cell(&sample, mount, ids::MOUNT_LIMIT), Some(said.f_blocks * said.f_frsize));
            assert_eq!(cell(&sample, mount, ids::MOUNT_INODES_TOTAL), Some(said.f_files));
            assert!(cell(&sample, mount, ids::MOUNT_AGE).is_some());
        }
        let labels = &sample.table(Dimension::Mount).entries[0].labels;
        assert_eq!(labels.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["/data dir", "data", "volume"]);
        assert_eq!(sample.table(Dimension::Mount).entries.len(), 3, "proc has no size");
    }

    #[test]
    fn what_leads_elsewhere_is_absent_with_a_reason() {
        let table = format!(
            "120 111 {0} / /link rw - ext4 /dev/x rw\n121 111 0:77 / /other rw - nfs a:/b rw\n",
            device()
        );
        let (root, host, process) = machine(&table);
        let at = |path: &str| root.path().join(path);
        for directory in ["proc/7/root/other", "secret"] {
            fs::create_dir_all(at(directory)).expect("a directory");
        }
        std::os::unix::fs::symlink(at("secret"), at("proc/7/root/link")).expect("a link");
        let source = Some(at("proc/7/root/link").display().to_string());
        // A link in the container and in the source; another device than the mount table says; not mounted at all.
        for list in [told("/link", source), told("/other", None), told("/nowhere", None)] {
            let destination = Arc::clone(&list.destination);
            let sample = settled(&mut mounts(process, vec![list], None), &host);
            assert_eq!(sample.table(Dimension::Mount).absence, Some(Absence::NotReachable), "{destination}");
            assert_eq!(cell(&sample, &destination, ids::MOUNT_USAGE), None, "{destination}");
        }
        let many = (0..=MOUNTS_MAX).map(|_| told("/link", None)).collect();
        let mut many = mounts(process, many, None);
        settled(&mut many, &host);
        assert_eq!(many.absence, Some(Absence::TooMany));
    }

    #[test]
    fn the_log_is_as_long_as_its_file() {
        let (root, host, process) = machine("");
        let at = |path: &str| root.path().join(path).display().to_string();
        fs::write(at("a-json.log"), "12345").expect("a file");
        std::os::unix::fs::symlink("/etc/passwd", at("link.log")).expect("a link");
        let size =
            |log: Option<String>| settled(&mut mounts(process, Vec::new(), log), &host).get(ids::LOG_SIZE);
        assert_eq!(size(Some(at("a-json.log"))), Reading::int(5));
        assert_eq!(size(Some(at("link.log"))), Reading::Absent(Absence::NotReachable));
        assert_eq!(size(Some(at("gone.log"))), Reading::Absent(Absence::NotReachable));
        assert_eq!(size(None), Reading::Absent(Absence::NoFile));
        assert_eq!(size(Some("journald".into())), Reading::Absent(Absence::NoFile));
    }
}
