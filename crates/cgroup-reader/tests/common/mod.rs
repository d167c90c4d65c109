//! Trees of files that look like a machine's cgroups, in a temporary directory.
#![allow(dead_code, clippy::allow_attributes, reason = "each test program uses its part")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use cgroup_reader::{Host, Layout, Roots};
use tempfile::TempDir;

pub(crate) const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub(crate) struct Tree {
    root: TempDir,
    pub(crate) layout: Layout,
}

impl Tree {
    /// A machine without containers: mounts, and the reading process itself.
    pub(crate) fn new(layout: Layout) -> Tree {
        let tree = Tree { root: tempfile::tempdir().unwrap(), layout };
        let mut mounts = String::new();
        let v1 = ["cpu,cpuacct", "cpuset", "memory", "blkio", "pids", "freezer"];
        match layout {
            Layout::V2 => {
                tree.write("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
                mounts += "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
            }
            Layout::V1 | Layout::Hybrid => {
                for controllers in v1 {
                    fs::create_dir_all(tree.path(&format!("sys/fs/cgroup/{controllers}"))).unwrap();
                    mounts += &format!(
                        "31 30 0:9 / /sys/fs/cgroup/{controllers} rw - cgroup cgroup rw,{controllers}\n"
                    );
                }
                for name in ["cpu", "cpuacct"] {
                    symlink("cpu,cpuacct", tree.path(&format!("sys/fs/cgroup/{name}"))).unwrap();
                }
            }
        }
        if layout == Layout::Hybrid {
            tree.write("sys/fs/cgroup/unified/cgroup.controllers", "\n");
            mounts += "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        }
        tree.write("proc/self/mountinfo", &mounts);
        fs::create_dir_all(tree.path("proc/self/ns")).unwrap();
        symlink("cgroup:[4026531835]", tree.path("proc/self/ns/cgroup")).unwrap();
        symlink("pid:[4026539999]", tree.path("proc/self/ns/pid")).unwrap();
        tree
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn write(&self, relative: &str, text: impl AsRef<[u8]>) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Where a file of the cgroup stands under this layout.
    pub(crate) fn file(&self, controller: &str, cgroup: &str, file: &str) -> String {
        match (self.layout, controller) {
            (Layout::V2, _) => format!("sys/fs/cgroup{cgroup}/{file}"),
            (_, "cpu" | "cpuacct") => format!("sys/fs/cgroup/cpu,cpuacct{cgroup}/{file}"),
            _ => format!("sys/fs/cgroup/{controller}{cgroup}/{file}"),
        }
    }

    pub(crate) fn cgroup(&self, controller: &str, cgroup: &str, file: &str, text: &str) {
        self.write(&self.file(controller, cgroup, file), text);
    }

    /// A process: its cgroups, start, network.
    pub(crate) fn process(&self, pid: u32, cgroup: &str, start_ticks: u64) {
        let lines = match self.layout {
            Layout::V2 => format!("0::{cgroup}\n"),
            Layout::V1 | Layout::Hybrid => {
                let unified =
                    if self.layout == Layout::Hybrid { format!("0::{cgroup}\n") } else { String::new() };
                format!(
                    "6:memory:{cgroup}\n5:cpu,cpuacct:{cgroup}\n4:blkio:{cgroup}\n3:pids:{cgroup}\n2:cpuset:{cgroup}\n\
                     1:name=systemd:/x\n{unified}"
                )
            }
        };
        self.write(&format!("proc/{pid}/cgroup"), lines);
        let stat = format!("{pid} (sh -c (x)) S{} {start_ticks} 0 0\n", " 0".repeat(18));
        self.write(&format!("proc/{pid}/stat"), stat);
        let net = "Inter-|   Receive |  Transmit\n face |bytes    packets errs\n  eth0:    1111 2 0 3 0 0 0 0 4444 5 0 6 0 0 0 0\n";
        self.write(&format!("proc/{pid}/net/dev"), net);
    }

    pub(crate) fn host(&self) -> Host {
        Host::detect(&Roots::under(self.root())).unwrap()
    }

    /// One container with every file that the tests read.
    pub(crate) fn container(&self, cgroup: &str) {
        const PSI: &str = "some avg10=1.00 avg60=0.00 avg300=0.00 total=106\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        if self.layout == Layout::V2 {
            self.cgroup("core", cgroup, "cgroup.controllers", "cpu io memory\n");
            self.cgroup(
                "cpu",
                cgroup,
                "cpu.stat",
                "usage_usec 12\nuser_usec 8\nsystem_usec 4\nnr_periods 0\n",
            );
            self.cgroup("cpu", cgroup, "cpu.max", "50000 100000\n");
            self.cgroup("memory", cgroup, "memory.current", "4096\n");
            self.cgroup("memory", cgroup, "memory.max", "max\n");
            self.cgroup("memory", cgroup, "memory.stat", "anon 1\nfile 2\nkernel 3\n");
            self.cgroup(
                "io",
                cgroup,
                "io.stat",
                "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n8:0\n",
            );
            self.cgroup("core", cgroup, "cpu.pressure", PSI);
        } else {
            self.cgroup("cpuacct", cgroup, "cpuacct.usage", "12000\n");
            self.cgroup("cpu", cgroup, "cpu.cfs_quota_us", "-1\n");
            self.cgroup("cpu", cgroup, "cpu.cfs_period_us", "100000\n");
            self.cgroup("memory", cgroup, "memory.usage_in_bytes", "4096\n");
            self.cgroup("memory", cgroup, "memory.limit_in_bytes", "9223372036854771712\n");
            self.cgroup("memory", cgroup, "memory.stat", "cache 9\nrss 9\ntotal_cache 2\ntotal_rss 1\n");
            let io = "254:0 Read 1\n254:0 Write 2\n254:0 Sync 3\n254:0 Total 3\nTotal 3\n";
            self.cgroup("blkio", cgroup, "blkio.throttle.io_service_bytes_recursive", io);
            self.cgroup("pids", cgroup, "pids.current", "5\n");
        }
        if self.layout == Layout::Hybrid {
            self.cgroup("unified", cgroup, "cpu.pressure", PSI);
        }
    }
}
