//! Groups: what can be switched on and off, and asked for by `?collect[]=`.

/// Makes [`Group`] of its one table: what a group is, its name, and whether pages have it without being asked.
macro_rules! groups {
    ($($(#[$doc:meta])+ $group:ident = $name:literal, $choice:ident;)+) => {
        /// A set of metrics that are read together.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Group {
            $($(#[$doc])+ $group,)+
        }

        impl Group {
            /// Every group, in the order of the pages.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$group),+];

            /// The name in configuration and in `?collect[]=`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$group => $name,)+
                }
            }

            /// Whether pages have it without being asked: it is cheap, and answers what most people ask. The others are opt-in.
            #[must_use]
            pub const fn is_standard(self) -> bool {
                match self {
                    $(Self::$group => groups!(@ $choice),)+
                }
            }
        }
    };
    (@ standard) => { true };
    (@ opt_in) => { false };
}

groups! {
    /// State, health, start time, restarts: what the engine knows.
    State = "state", standard;
    /// CPU time, throttling, shares and quota.
    Cpu = "cpu", standard;
    /// Cpuset, burst, and what else the kernel tells of CPU time.
    CpuDetail = "cpu_detail", opt_in;
    /// Memory use, limits and events.
    Memory = "memory", standard;
    /// What memory is made of, boundaries beside the limit, events of the cgroup itself, swap in full.
    MemoryDetail = "memory_detail", opt_in;
    /// Memory by node.
    MemoryNuma = "memory_numa", opt_in;
    /// Huge pages by size.
    HugePages = "huge_pages", opt_in;
    /// Block I/O by device.
    Io = "io", standard;
    /// Discards, io.cost and the limits that are set, by device.
    IoDetail = "io_detail", opt_in;
    /// RDMA devices, the controller misc, device memory.
    Resources = "resources", opt_in;
    /// Network by interface.
    Network = "network", standard;
    /// What a network namespace counts beside: protocols, errors, sockets by state.
    NetworkDetail = "network_detail", opt_in;
    /// Processes and threads.
    Pids = "pids", standard;
    /// Every process looked at: threads by state, zombies, descriptors, sockets, limits.
    Processes = "processes", opt_in;
    /// Pressure stall information.
    Pressure = "pressure", standard;
    /// The writable layer.
    Filesystem = "filesystem", standard;
    /// Volumes and bind mounts, the size of the log, how old what was walked is.
    FilesystemDetail = "filesystem_detail", opt_in;
    /// Graphics processors, by container and for the host.
    Gpu = "gpu", opt_in;
    /// The host itself and what is counted over all containers.
    Host = "host", standard;
    /// What engines hold beside containers: images, volumes, networks.
    Engine = "engine", opt_in;
    /// The disk space that engines say they use.
    EngineDisk = "engine_disk", opt_in;
    /// The exporter itself.
    Exporter = "exporter", standard;
}

impl Group {
    /// The group of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.as_str() == name)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Groups(u32);

impl Groups {
    /// No group.
    pub const NONE: Self = Self(0);
    /// The word for [`standard`](Self::standard).
    pub const STANDARD: &'static str = "standard";
    /// The word for [`all`](Self::all).
    pub const ALL: &'static str = "all";

    /// Every group.
    #[must_use]
    pub fn all() -> Self {
        Group::ALL.into_iter().collect()
    }

    /// Those that nobody has to ask for.
    #[must_use]
    pub fn standard() -> Self {
        Group::ALL.into_iter().filter(|group| group.is_standard()).collect()
    }

    /// What a person may write for groups: the name of one, [`STANDARD`](Self::STANDARD) or [`ALL`](Self::ALL).
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            Self::STANDARD => Some(Self::standard()),
            Self::ALL => Some(Self::all()),
            name => Group::parse(name).map(|group| Self::NONE.with(group)),
        }
    }

    /// With one more.
    #[must_use]
    pub const fn with(self, group: Group) -> Self {
        Self(self.0 | group.bit())
    }

    /// With one less.
    #[must_use]
    pub const fn without(self, group: Group) -> Self {
        Self(self.0 & !group.bit())
    }

    /// Whether it has this one.
    #[must_use]
    pub const fn has(self, group: Group) -> bool {
        self.0 & group.bit() != 0
    }

    /// Whether it has all of the others.
    #[must_use]
    pub const fn covers(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Those in both.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Those in either.
    #[must_use]
    pub const fn or(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// In the order of the pages.
    pub fn iter(self) -> impl Iterator<Item = Group> {
        Group::ALL.into_iter().filter(move |group| self.has(*group))
    }
}

impl FromIterator<Group> for Groups {
    fn from_iter<I: IntoIterator<Item = Group>>(groups: I) -> Self {
        groups.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_its_own_bit_and_name() {
        assert_eq!(Groups::all().iter().count(), Group::ALL.len());
        for group in Group::ALL {
            assert_eq!(Group::parse(group.as_str()), Some(group));
            assert!(!Groups::all().without(group).has(group));
        }
        assert_eq!(Group::parse("nonsense"), None);
        assert_eq!(Groups::parse("nonsense"), None);
    }

    #[test]
    fn words_stand_for_several_groups() {
        assert_eq!(Groups::parse("memory"), Some(Groups::NONE.with(Group::Memory)));
        assert_eq!(Groups::parse("all"), Some(Groups::all()));
        let standard = Groups::parse("standard").expect("a word");
        assert!(standard.has(Group::Memory) && !standard.has(Group::MemoryDetail));
    }
}
