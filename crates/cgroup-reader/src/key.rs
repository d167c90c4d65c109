//! Source keys: which word of which kernel file holds a number, per cgroup version, and in what unit.
//!
//! All constructors are `const`, so that a catalogue can be one static table.

/// A cgroup version. A hybrid host (v1 controllers beside an empty v2 mount) counts as [`Version::V1`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// One hierarchy per controller.
    V1,
    /// The unified hierarchy.
    V2,
}

impl Version {
    /// `v1` or `v2`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::V1 => "v1",
            Version::V2 => "v2",
        }
    }
}

/// The controller that a cgroup file belongs to: on v1 it selects the mount, on v2 it explains a missing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Controller {
    /// `cpu`: bandwidth and weight.
    Cpu,
    /// `cpuacct`: usage; v1 only, its files moved to `cpu` on v2.
    Cpuacct,
    /// `cpuset`.
    Cpuset,
    /// `memory`.
    Memory,
    /// `blkio` on v1, `io` on v2.
    Blkio,
    /// `pids`.
    Pids,
    /// `freezer` on v1; part of the core on v2.
    Freezer,
    /// `hugetlb`.
    Hugetlb,
    /// `rdma`.
    Rdma,
    /// `misc`.
    Misc,
    /// `dmem`: device memory; v2 only.
    Dmem,
    /// Files of the v2 core (`cgroup.*`, `*.pressure`), which need no controller. On a v1 host they are read from the
    /// `unified` mount, if there is one.
    Core,
}

impl Controller {
    /// Every controller, in declaration order.
    pub const ALL: [Controller; 12] = [
        Controller::Cpu,
        Controller::Cpuacct,
        Controller::Cpuset,
        Controller::Memory,
        Controller::Blkio,
        Controller::Pids,
        Controller::Freezer,
        Controller::Hugetlb,
        Controller::Rdma,
        Controller::Misc,
        Controller::Dmem,
        Controller::Core,
    ];

    /// The kernel's v1 name (`blkio`, not `io`); `core` for the files of the v2 core.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Cpuacct => "cpuacct",
            Controller::Cpuset => "cpuset",
            Controller::Memory => "memory",
            Controller::Blkio => "blkio",
            Controller::Pids => "pids",
            Controller::Freezer => "freezer",
            Controller::Hugetlb => "hugetlb",
            Controller::Rdma => "rdma",
            Controller::Misc => "misc",
            Controller::Dmem => "dmem",
            Controller::Core => "core",
        }
    }

    /// The name in a v2 `cgroup.controllers` file; `None` where v2 needs no controller for it.
    #[must_use]
    pub const fn v2_name(self) -> Option<&'static str> {
        match self {
            Controller::Cpu | Controller::Cpuacct => Some("cpu"),
            Controller::Cpuset => Some("cpuset"),
            Controller::Memory => Some("memory"),
            Controller::Blkio => Some("io"),
            Controller::Pids => Some("pids"),
            Controller::Hugetlb => Some("hugetlb"),
            Controller::Rdma => Some("rdma"),
            Controller::Misc => Some("misc"),
            Controller::Dmem => Some("dmem"),
            Controller::Freezer | Controller::Core => None,
        }
    }

    /// The controller of a kernel name as in `/proc/<pid>/cgroup`, `cgroup.controllers` and mount options.
    #[must_use]
    pub fn from_kernel(name: &str) -> Option<Controller> {
        Some(match name {
            "cpu" => Controller::Cpu,
            "cpuacct" => Controller::Cpuacct,
            "cpuset" => Controller::Cpuset,
            "memory" => Controller::Memory,
            "blkio" | "io" => Controller::Blkio,
            "pids" => Controller::Pids,
            "freezer" => Controller::Freezer,
            "hugetlb" => Controller::Hugetlb,
            "rdma" => Controller::Rdma,
            "misc" => Controller::Misc,
            "dmem" => Controller::Dmem,
            _ => return None,
        })
    }

    /// A dense index below [`Controller::ALL`]`.len()`.
    #[must_use]
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// The file that a number stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Place {
    /// A file of the cgroup's directory: controller and file name.
    Cgroup(Controller, &'static str),
    /// A file under `/proc/<pid>/` of the container's init process, for instance `net/dev`.
    Proc(&'static str),
    /// A file under `/proc/`, the whole host's, for instance `stat`, `meminfo` or `pressure/cpu`.
    System(&'static str),
}

impl Place {
    /// The file name, relative to its directory.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Place::Cgroup(_, file) | Place::Proc(file) | Place::System(file) => file,
        }
    }
}

/// Which line of a pressure file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PsiLine {
    /// `some`: at least one task waited.
    Some,
    /// `full`: all tasks waited.
    Full,
}

impl PsiLine {
    /// The word the line begins with.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            PsiLine::Some => "some",
            PsiLine::Full => "full",
        }
    }
}

/// Which word of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Field {
    /// The file is one number, or `max` (v1: also `-1`, its `cfs_quota_us` for none).
    Whole,
    /// The value of a flat-keyed line: `usage_usec 12`, `MemTotal:  12 kB`.
    Key(&'static str),
    /// The n-th (from 0) value of a keyed line with several: `cpu  12 0 5 …` of `/proc/stat`.
    KeyIndex(&'static str, usize),
    /// The n-th (from 0) whitespace-separated word of the file: `cpu.max`.
    Index(usize),
    /// `total=` of a pressure line, microseconds.
    Psi(PsiLine),
    /// A column of a per-key table: `rbytes` (`io.stat`), `Read` (v1 `blkio.*`), `rx_bytes` (`net/dev`), `anon`
    /// (`memory.numa_stat`, by node). In files with one value a line (`misc.*`, `dmem.*`, v1 `*_device`) what the key ends with
    /// behind a dot: `max` of `sev.max 3`; empty for the whole key. In tables only.
    Column(&'static str),
    /// The number of non-empty lines: `cgroup.procs`.
    Lines,
    /// The number of CPUs in a list: `0-3,5` is 5.
    CpuList,
    /// Protocol and name of a file with a line of names and one of numbers for each protocol: `net/snmp`, `net/netstat`.
    ProtocolPair(&'static str, &'static str),
    /// Protocol and name of a file with pairs of names and numbers behind each protocol: `net/sockstat`.
    NamedPair(&'static str, &'static str),
    /// A column of a file with a line of names and lines of hexadecimal numbers: `net/stat/nf_conntrack`.
    HexColumn(&'static str),
}

/// How the kernel's number becomes ours: times are nanoseconds, sizes are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scale {
    /// As it is.
    One,
    /// Microseconds to nanoseconds.
    MicrosToNanos,
    /// Milliseconds to nanoseconds.
    MillisToNanos,
    /// Nanoseconds already.
    NanosOne,
    /// Clock ticks of `sysconf(_SC_CLK_TCK)` to nanoseconds.
    UserHzToNanos,
    /// KiB (`kB` in `/proc`) to bytes.
    KibToBytes,
    /// Pages to bytes.
    PagesToBytes,
    /// Sectors of 512 bytes (whatever the disk's own are) to bytes.
    SectorsToBytes,
}

/// The machine's units, which two scales depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Units {
    /// `sysconf(_SC_CLK_TCK)`.
    pub user_hz: u64,
    /// `sysconf(_SC_PAGESIZE)`, bytes.
    pub page_bytes: u64,
}

impl Default for Units {
    /// 100 ticks a second and 4 KiB, as on nearly every Linux.
    fn default() -> Units {
        Units { user_hz: 100, page_bytes: 4096 }
    }
}

impl Scale {
    /// The number in nanoseconds, bytes or as it is; `None` if it does not fit 64 bits.
    #[must_use]
    pub const fn apply(self, value: u64, units: Units) -> Option<u64> {
        let factor = match self {
            Scale::One | Scale::NanosOne => return Some(value),
            Scale::MicrosToNanos => 1_000,
            Scale::MillisToNanos => 1_000_000,
            Scale::UserHzToNanos if units.user_hz == 0 => return None,
            Scale::UserHzToNanos => 1_000_000_000 / units.user_hz,
            Scale::KibToBytes => 1024,
            Scale::PagesToBytes => units.page_bytes,
            Scale::SectorsToBytes => 512,
        };
        value.checked_mul(factor)
    }
}

/// One number's address: file, word and unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct At {
    /// The file.
    pub place: Place,
    /// The word in it.
    pub field: Field,
    /// Its unit.
    pub scale: Scale,
}

impl At {
    /// Any place, field and scale.
    #[must_use]
    pub const fn new(place: Place, field: Field, scale: Scale) -> At {
        At { place, field, scale }
    }

    /// The value of a flat-keyed line of a cgroup file.
    #[must_use]
    pub const fn key(controller: Controller, file: &'static str, name: &'static str, scale: Scale) -> At {
        At::new(Place::Cgroup(controller, file), Field::Key(name), scale)
    }

    /// A cgroup file that is one number or `max`.
    #[must_use]
    pub const fn whole(controller: Controller, file: &'static str, scale: Scale) -> At {
        At::new(Place::Cgroup(controller, file), Field::Whole, scale)
    }

    /// The n-th word of a cgroup file.
    #[must_use]
    pub const fn index(controller: Controller, file: &'static str, nth: usize, scale: Scale) -> At {
        At::new(Place::Cgroup(controller, file), Field::Index(nth), scale)
    }

    /// The total of a pressure line, in nanoseconds. In [`SourceKey::both`] one `At` serves both versions: on a hybrid
    /// host the file is read from the `unified` mount.
    #[must_use]
    pub const fn psi(file: &'static str, line: PsiLine) -> At {
        At::new(Place::Cgroup(Controller::Core, file), Field::Psi(line), Scale::MicrosToNanos)
    }

    /// A column of a per-key cgroup file.
    #[must_use]
    pub const fn column(controller: Controller, file: &'static str, name: &'static str, scale: Scale) -> At {
        At::new(Place::Cgroup(controller, file), Field::Column(name), scale)
    }

    /// A field of a file under `/proc/<pid>/`.
    #[must_use]
    pub const fn proc(file: &'static str, field: Field, scale: Scale) -> At {
        At::new(Place::Proc(file), field, scale)
    }

    /// A field of a file under `/proc/`.
    #[must_use]
    pub const fn system(file: &'static str, field: Field, scale: Scale) -> At {
        At::new(Place::System(file), field, scale)
    }
}

/// Where a number stands on each cgroup version; `None` where that version has no such number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceKey {
    /// On v1 and hybrid hosts.
    pub v1: Option<At>,
    /// On v2 hosts.
    pub v2: Option<At>,
}

impl SourceKey {
    /// A number that both versions have.
    #[must_use]
    pub const fn both(v1: At, v2: At) -> SourceKey {
        SourceKey { v1: Some(v1), v2: Some(v2) }
    }

    /// A number that stands in the same place on both: `/proc` files, pressure files.
    #[must_use]
    pub const fn same(at: At) -> SourceKey {
        SourceKey::both(at, at)
    }

    /// A number that only v1 has.
    #[must_use]
    pub const fn v1(at: At) -> SourceKey {
        SourceKey { v1: Some(at), v2: None }
    }

    /// A number that only v2 has.
    #[must_use]
    pub const fn v2(at: At) -> SourceKey {
        SourceKey { v1: None, v2: Some(at) }
    }

    /// The address on that version.
    #[must_use]
    pub const fn on(&self, version: Version) -> Option<At> {
        match version {
            Version::V1 => self.v1,
            Version::V2 => self.v2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_convert_to_nanoseconds_and_bytes() {
        let units = Units { user_hz: 100, page_bytes: 16384 };
        for (scale, value, expect) in [
            (Scale::One, 7, Some(7)),
            (Scale::NanosOne, 7, Some(7)),
            (Scale::MicrosToNanos, 7, Some(7_000)),
            (Scale::MillisToNanos, 7, Some(7_000_000)),
            (Scale::UserHzToNanos, 3, Some(30_000_000)),
            (Scale::KibToBytes, 2, Some(2048)),
            (Scale::PagesToBytes, 2, Some(32768)),
            (Scale::SectorsToBytes, 3, Some(1536)),
            (Scale::KibToBytes, u64::MAX, None),
        ] {
            assert_eq!(scale.apply(value, units), expect, "{scale:?}");
        }
        assert_eq!(Scale::UserHzToNanos.apply(1, Units { user_hz: 0, page_bytes: 1 }), None);
    }

    #[test]
    fn controllers_are_found_by_their_kernel_names() {
        for (place, controller) in Controller::ALL.into_iter().enumerate() {
            assert_eq!(controller.index(), place);
            if controller != Controller::Core {
                assert_eq!(Controller::from_kernel(controller.as_str()), Some(controller));
            }
        }
        assert_eq!(Controller::from_kernel("io"), Some(Controller::Blkio));
        assert_eq!(Controller::from_kernel("name=systemd"), None);
    }
}
