//! Machines: trees with the hierarchies of cgroups, and with what `/proc` tells of processes, clocks and namespaces.

use std::{fs, os::unix::fs::symlink};

use crate::Tree;

/// How a machine has its cgroups mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cgroups {
    /// One hierarchy for some controllers each.
    V1,
    /// The same, and a unified one without controllers.
    Hybrid,
    /// One for all.
    V2,
}

impl Cgroups {
    /// All ways.
    pub const ALL: [Self; 3] = [Self::V1, Self::Hybrid, Self::V2];
}

/// When a machine booted, Unix time.
pub const BOOT: u64 = 1_000_000_000;

/// Where cgroup file systems are mounted.
const MOUNT: &str = "sys/fs/cgroup";

/// Machines.
impl Tree {
    /// A machine that has been up for a day, without a process.
    ///
    /// # Panics
    ///
    /// As all that writes here, if a file cannot be written.
    #[must_use]
    pub fn machine(cgroups: Cgroups) -> Self {
        let tree = Self::unpack("", &[]);
        tree.write("proc/stat", format!("cpu 1 2 3\nbtime {BOOT}\n"));
        tree.write("proc/sys/kernel/osrelease", "6.1.0-test\n");
        tree.uptime(86_400.0);
        match cgroups {
            Cgroups::V2 => {
                tree.write(&format!("{MOUNT}/cgroup.controllers"), "cpuset cpu io memory pids\n");
            }
            Cgroups::V1 | Cgroups::Hybrid => {
                for controllers in ["memory", "cpu,cpuacct", "pids"] {
                    fs::create_dir_all(tree.path(&format!("{MOUNT}/{controllers}"))).expect("a directory");
                }
            }
        }
        if cgroups == Cgroups::Hybrid {
            tree.write(&format!("{MOUNT}/unified/cgroup.controllers"), "\n");
        }
        tree
    }

    /// Lets so many seconds have passed since it booted.
    pub fn uptime(&self, seconds: f64) {
        self.write("proc/uptime", format!("{seconds:.2} 1.00\n"));
    }

    /// Where the hierarchies are, in the tree.
    fn hierarchies(&self) -> Vec<String> {
        if self.path(&format!("{MOUNT}/cgroup.controllers")).exists() {
            return vec![MOUNT.to_owned()];
        }
        let entries = fs::read_dir(self.path(MOUNT)).expect("a machine's tree");
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.map(|name| format!("{MOUNT}/{name}")).collect()
    }

    /// A cgroup with these processes in it, in every hierarchy.
    pub fn cgroup(&self, cgroup: &str, pids: &[u32]) {
        self.hierarchies().iter().for_each(|hierarchy| self.add_cgroup(hierarchy, cgroup, pids));
    }

    /// A cgroup in one hierarchy of v1, such as `memory`.
    pub fn cgroup_in(&self, hierarchy: &str, cgroup: &str, pids: &[u32]) {
        self.add_cgroup(&format!("{MOUNT}/{hierarchy}"), cgroup, pids);
    }

    fn add_cgroup(&self, hierarchy: &str, cgroup: &str, pids: &[u32]) {
        let procs: String = pids.iter().map(|pid| format!("{pid}\n")).collect();
        self.write(&format!("{hierarchy}{cgroup}/cgroup.procs"), procs);
    }

    /// Removes a cgroup from every hierarchy.
    pub fn remove_cgroup(&self, cgroup: &str) {
        self.hierarchies().iter().for_each(|hierarchy| self.remove(&format!("{hierarchy}{cgroup}")));
    }

    /// A process that started so many seconds after boot; [`Tree::remove`] of `proc/<pid>` ends it.
    pub fn process(&self, pid: u32, seconds: f64) {
        #[expect(clippy::cast_precision_loss, reason = "some hundred")]
        let ticks = (seconds * rustix::param::clock_ticks_per_second() as f64).round();
        let stat = format!("{pid} (a b) S{} {ticks:.0} 0 0\n", " 0".repeat(18));
        self.write(&format!("proc/{pid}/stat"), stat);
    }

    /// A namespace of whoever looks.
    pub fn namespace(&self, kind: &str, inode: u64) {
        let link = self.made(&format!("proc/self/ns/{kind}"));
        _ = fs::remove_file(&link);
        symlink(format!("{kind}:[{inode}]"), link).expect("a symbolic link");
    }
}
