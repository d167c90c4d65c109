//! What an engine changes on the machine, on disk before it is changed.

use std::path::{Path, PathBuf};

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::engine::undo;
use crate::error::{Context as _, Error, Result};

const FILE: &str = "record.json";

/// The directory of the engines that tests start themselves, each with its data in `data`.
pub(crate) const OWN_ENGINES: &str = "own";

/// Everything that has to be undone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The directory of the engine or the guest: data, sockets, logs.
    pub(crate) directory: PathBuf,
    /// The run that owns it.
    owner: Owner,
    /// Does it outlive its owner on purpose?
    kept: bool,
    /// The bridge's name.
    bridge: String,
    /// Which of [`SIDE_EFFECTS`] and the cgroup parents were absent before, so that they go again once empty.
    pub(crate) absent_before: Vec<PathBuf>,
}

/// A process, told from a later one with its number by its start time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    pid: i32,
    /// Field 22 of `/proc/<pid>/stat`: ticks since boot.
    started: u64,
}

/// What engines create outside the directories they are given; files, then the directories around them.
const SIDE_EFFECTS: &[&str] = &[
    "/etc/docker/key.json",
    "/etc/docker",
    "/run/containerd/s",
    "/run/containerd",
    "/run/docker/plugins",
    "/run/docker",
];

impl Record {
    /// Makes the directory, named after the host, and writes the first record.
    pub(crate) fn create(host: &str, kept: bool) -> Result<Self> {
        use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
        let home = super::home();
        let me = std::process::id();
        let directory = home.join(format!("{host}-{me}"));
        let failed = |path: &Path| format!("failed to create {}", path.display());
        std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&home).context(|| failed(&home))?;
        let meta =
            std::fs::symlink_metadata(&home).context(|| format!("failed to look at {}", home.display()))?;
        if !meta.is_dir() || meta.uid() != 0 {
            return Err(Error::failed(format!("{} is not a directory of root's; remove it", home.display())));
        }
        std::fs::DirBuilder::new().mode(0o711).create(&directory).context(|| failed(&directory))?;

        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let cgroup_parents = undo::cgroup_mounts(&mounts).into_iter().map(|mount| mount.path.join("docker"));
        let owner = Owner::of(Pid::from_raw(i32::try_from(me).unwrap_or(0)))
            .ok_or_else(|| Error::failed("failed to read this process's start time from /proc/self/stat"))?;
        let record = Self {
            owner,
            kept,
            bridge: format!("cxlab-{me}"),
            absent_before: SIDE_EFFECTS
                .iter()
                .map(PathBuf::from)
                .chain(cgroup_parents)
                .filter(|p| !p.exists())
                .collect(),
            directory,
        };
        record.save()?;
        Ok(record)
    }

    fn save(&self) -> Result<()> {
        let file = self.path(FILE);
        let text = serde_json::to_vec_pretty(self).context(|| "failed to write the record".to_owned())?;
        // Whole or not at all: a directory without a readable record is taken for empty.
        let draft = self.path("record.draft");
        std::fs::write(&draft, text)
            .and_then(|()| std::fs::rename(&draft, &file))
            .context(|| format!("failed to write {}", file.display()))
    }

    /// A file of this engine's.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where the engine answers.
    pub(crate) fn docker_socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    /// Where its containerd answers.
    pub(crate) fn containerd_socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    /// The bridge's name.
    pub(crate) fn bridge(&self) -> &str {
        &self.bridge
    }

    /// Is the run that started it still there?
    pub(crate) fn is_owned(&self) -> bool {
        Owner::of(Pid::from_raw(self.owner.pid)).as_ref() == Some(&self.owner)
    }

    /// Was its run killed, so that the next one has to undo it?
    pub(crate) fn is_abandoned(&self) -> bool {
        !self.kept && !self.is_owned()
    }

    /// For a person.
    pub(crate) fn state(&self) -> &'static str {
        match (self.is_owned(), self.kept) {
            (true, _) => "in use",
            (false, true) => "kept; `cargo xtask lab down` ends it",
            (false, false) => "left behind by a killed run; `cargo xtask lab down` undoes it",
        }
    }
}

impl Owner {
    fn of(pid: Option<Pid>) -> Option<Self> {
        let pid = pid?.as_raw_nonzero().get();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self { pid, started: start_time(&stat)? })
    }
}

/// Field 22 of `/proc/<pid>/stat`; the name in field 2 may hold blanks and brackets, so counting starts after its end.
fn start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

/// The records of all engines on this machine.
pub(crate) fn read_all() -> Result<Vec<Record>> {
    Ok(directories()?.iter().filter_map(|directory| read(directory)).collect())
}

/// Removes the directories without a record: of runs killed before they did anything, or after they had undone all but that. Only for
/// whoever is [`alone`](super::alone): a run that is just starting has none either.
pub(crate) fn sweep() -> Result<()> {
    for directory in directories()?.iter().filter(|directory| read(directory).is_none()) {
        match std::fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::failed(format!("failed to remove {}: {error}", directory.display())));
            }
            _ => {}
        }
    }
    Ok(())
}

fn read(directory: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(directory.join(FILE)).ok()?).ok()
}

fn directories() -> Result<Vec<PathBuf>> {
    let home = super::home();
    let entries = match std::fs::read_dir(&home) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::failed(format!("failed to list {}: {error}", home.display()))),
    };
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_survives_a_nasty_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";
        assert_eq!(start_time(stat), Some(987_654));
        assert_eq!(start_time("7 (a"), None);
        assert_eq!(start_time("7 (a) S 1 2"), None);
    }

    #[test]
    fn a_later_process_with_the_same_number_is_no_owner() {
        let me = Owner::of(Some(rustix::process::getpid())).expect("this process");
        let record = |owner| Record {
            directory: PathBuf::new(),
            owner,
            kept: false,
            bridge: String::new(),
            absent_before: Vec::new(),
        };
        assert!(record(me.clone()).is_owned());
        assert!(record(Owner { started: me.started + 1, ..me }).is_abandoned());
    }
}
