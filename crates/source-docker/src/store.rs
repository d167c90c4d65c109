//! Podman's own files: names of containers whose engine cannot be asked.
//!
//! The store (`containers/storage`) keeps `<driver>-containers/containers.json`, and `volatile-containers.json` for
//! `--rm`: id, names, and as text within the text a `metadata` object with `image-name`, `image-id`, `name`.
//! Of a container that runs, `<run root>/<driver>-containers/<id>/userdata/pidfile` names the init process. Whether
//! one without a process was ever started, and how it ended, these files do not say: such containers are left out.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use collector_core::{Container, ContainerId, State};
use serde_json::value::RawValue;

use crate::{
    clock,
    json::{Faults, Object},
    read::{Owner, image_id},
};

/// Most bytes of one file that are read.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// The drivers whose directories are looked for.
const DRIVERS: &[&str] = &["overlay", "vfs", "btrfs", "zfs"];
const FILES: &[&str] = &["containers.json", "volatile-containers.json"];

/// Where a Podman keeps its containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodmanStore {
    graph_root: PathBuf,
    run_root: PathBuf,
    proc_root: PathBuf,
}

impl PodmanStore {
    /// The system's: `/var/lib/containers/storage` and `/run/containers/storage` below `root`.
    #[must_use]
    pub fn of_system(root: &Path) -> Self {
        Self {
            graph_root: root.join("var/lib/containers/storage"),
            run_root: root.join("run/containers/storage"),
            proc_root: root.join("proc"),
        }
    }

    /// A user's: `~/.local/share/containers/storage` and `/run/user/UID/containers`. `None` if `/etc/passwd` does
    /// not know the user, whose home is then unknown.
    #[must_use]
    pub fn of_user(root: &Path, uid: u32) -> Option<Self> {
        let passwd = fs::read_to_string(root.join("etc/passwd")).ok()?;
        let home = passwd.lines().find_map(|line| {
            let mut fields = line.split(':').skip(2);
            let is_user = fields.next()?.parse() == Ok(uid);
            fields.nth(2).filter(|home| is_user && home.starts_with('/'))
        })?;
        Some(Self {
            graph_root: root.join(home.trim_start_matches('/')).join(".local/share/containers/storage"),
            run_root: root.join(format!("run/user/{uid}/containers")),
            proc_root: root.join("proc"),
        })
    }

    /// Reads processes at another place than `<root>/proc`.
    #[must_use]
    pub fn with_proc(mut self, proc_root: &Path) -> Self {
        proc_root.clone_into(&mut self.proc_root);
        self
    }

    /// Whether there is a store that this process may read.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.files().any(|(_, path)| fs::File::open(path).is_ok())
    }

    fn files(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        DRIVERS.iter().flat_map(move |driver| {
            let directory = self.graph_root.join(format!("{driver}-containers"));
            FILES.iter().map(move |file| (*driver, directory.join(file)))
        })
    }

    /// The containers that run. Blocks while it reads.
    pub(crate) fn running(&self, owner: Owner) -> Vec<Container> {
        let mut running = Vec::new();
        for (driver, path) in self.files() {
            let Some(text) = read(&path) else { continue };
            for mut container in listed(&text, owner) {
                if let Some(pid) = self.pid(driver, &container.id) {
                    container.pid = Some(pid);
                    running.push(container);
                }
            }
        }
        running
    }

    /// The init process, if it is there and its cgroup is the container's: pids are used again.
    fn pid(&self, driver: &str, id: &ContainerId) -> Option<u32> {
        let userdata = format!("{driver}-containers/{id}/userdata/pidfile");
        let pid: u32 = read(&self.run_root.join(userdata))?.trim().parse().ok()?;
        let cgroup = read(&self.proc_root.join(format!("{pid}/cgroup")))?;
        cgroup.contains(id.as_str()).then_some(pid)
    }
}

/// The containers of one `containers.json`, whether they run or not.
pub(crate) fn listed(text: &str, owner: Owner) -> Vec<Container> {
    let entries: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
    entries.iter().filter_map(|entry| described(&Object::parse(entry.get())?, owner)).collect()
}

fn described(entry: &Object<'_>, owner: Owner) -> Option<Container> {
    let faults = Faults::default();
    let id = entry.word("id", &faults)?;
    // It becomes part of a path.
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let mut container = Container::new(ContainerId::new(&id), owner.engine, State::Running);
    container.uid = owner.uid;
    let names = entry.array("names", &faults).unwrap_or_default();
    container.name = names.iter().find_map(|name| {
        serde_json::from_str::<String>(name.get()).ok().filter(|name| !name.is_empty()).map(Arc::from)
    });
    container.created_at = entry.word("created", &faults).and_then(|text| clock::rfc3339(&text));
    if let Some(metadata) = entry.word("metadata", &faults)
        && let Some(metadata) = Object::parse(&metadata)
    {
        container.image = metadata.word("image-name", &faults).map(Arc::from);
        container.image_id = metadata.word("image-id", &faults).map(image_id);
    }
    Some(container)
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use collector_core::Engine;
    use test_support::engine::fixture;

    use super::*;

    const SICK: &str = "b68157036789024317aca71796fba85a11cbd633afeb426d63250360a96900a2";
    const PLAINER: &str = "4897fd78208df3d554731ea20a66bd0c32c2d96d4bb1b747937e163ccf20ef8f";
    const INPOD: &str = "8d496c1bd1cce3713f91e4150bcbbf793a355753e513fef76345ddae5748643f";

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn what_runs_is_named_by_the_files_of_podman_5() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        write(
            at("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000:A:/home/alice:/bin/sh\nbroken\n",
        );
        assert_eq!(PodmanStore::of_user(root.path(), 1001), None);
        let store = PodmanStore::of_user(root.path(), 1000).unwrap();
        let owner = Owner { engine: Engine::Podman, uid: Some(1000) };
        assert!(!store.is_readable());
        assert!(store.running(owner).is_empty());

        let containers = "home/alice/.local/share/containers/storage/overlay-containers";
        write(at(&format!("{containers}/containers.json")), &fixture("podman/store.json"));
        write(at(&format!("{containers}/volatile-containers.json")), "[{\"id\":\"../../etc\"},{}]");
        let runs = |id: &str, pid: u32, cgroup_of: &str| {
            let userdata = format!("run/user/1000/containers/overlay-containers/{id}/userdata/pidfile");
            write(at(&userdata), &pid.to_string());
            let scope = format!("0::/user.slice/user-1000.slice/libpod-{cgroup_of}.scope/container\n");
            write(at(&format!("proc/{pid}/cgroup")), &scope);
        };
        runs(SICK, 1338, SICK);
        // A pid that another process has by now, and one that is gone.
        runs(PLAINER, 1339, SICK);
        write(at(&format!("run/user/1000/containers/overlay-containers/{INPOD}/userdata/pidfile")), "77");
        assert!(store.is_readable());
        let running = store.running(owner);
        assert_eq!(running.len(), 1, "{running:#?}");
        let sick = &running[0];
        assert_eq!((sick.display_name(), sick.pid, sick.uid), ("sick", Some(1338), Some(1000)));
        assert_eq!(sick.image.as_deref(), Some("localhost/busybox:local"));
        assert!(sick.image_id.as_deref().is_some_and(|id| id.starts_with("sha256:39c2db8b98fa")));
        assert_eq!((sick.state, sick.health, sick.pod.as_deref()), (State::Running, None, None));
        assert!(sick.created_at.is_some());
    }
}
