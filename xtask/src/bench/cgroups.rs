//! Real cgroups without an engine: directories made by hand, each with a process that sleeps.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::error::{Context as _, Error, Result};
use crate::process;

/// Cgroups that are removed, and processes that are ended, when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {
    directories: Vec<PathBuf>,
    children: Vec<Child>,
}

impl Cgroups {
    /// Makes that many, in every hierarchy that can be written.
    pub(crate) fn make(number: usize) -> Result<Self> {
        let mounts = hierarchies();
        if mounts.is_empty() {
            return Err(Error::failed(
                "no cgroup hierarchy is mounted writable here: run as root, outside of a container",
            ));
        }
        let mut made = Self::default();
        let parent = format!("bench-{}", std::process::id());
        for mount in &mounts {
            let parent = mount.join(&parent);
            made.directory(parent.clone())?;
            for controller in ["cpu", "memory", "io", "pids"] {
                // v2 hands on only what is asked for; on v1 there is nothing to ask.
                let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
            }
        }
        for number in 0..number {
            process::check_interrupted()?;
            // A container is told from others by the first twelve digits.
            let id = format!("{number:012x}{:052x}", std::process::id());
            let mut command = process::command("sleep", &["1000000"]);
            let child = command.stdout(Stdio::null()).spawn().context(|| "failed to run sleep".to_owned())?;
            let pid = child.id().to_string();
            made.children.push(child);
            for mount in &mounts {
                let directory = mount.join(&parent).join(&id);
                made.directory(directory.clone())?;
                let file = directory.join("cgroup.procs");
                fs::write(&file, &pid).context(|| format!("failed to write {}", file.display()))?;
            }
        }
        Ok(made)
    }

    fn directory(&mut self, path: PathBuf) -> Result<()> {
        fs::create_dir(&path).context(|| format!("failed to make {}", path.display()))?;
        self.directories.push(path);
        Ok(())
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for directory in self.directories.iter().rev() {
            if let Err(error) = fs::remove_dir(directory) {
                eprintln!("failed to remove {}: {error}; remove it", directory.display());
            }
        }
    }
}

/// Mount points of cgroup file systems that can be written, without those that need settings before a process may enter.
fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut found: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let &[_, point, kind, options, ..] = fields.as_slice() else { return None };
            let usable = kind.starts_with("cgroup")
                && options.split(',').any(|option| option == "rw")
                && !options.split(',').any(|option| option == "cpuset");
            usable.then(|| fs::canonicalize(Path::new(point)).ok())?
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}
