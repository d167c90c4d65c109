//! Groups: what can be switched on and off, and asked for by `?collect[]=`.

/// A set of metrics that are read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Group {
    /// CPU time, throttling, shares and quota.
    Cpu,
    /// Cpuset, burst, and what else the kernel tells of CPU time.
    CpuDetail,
    /// Memory use, limits and events.
    Memory,
    /// What memory is made of, boundaries beside the limit, events of the cgroup itself, swap in full.
    MemoryDetail,
    /// Memory by node.
    MemoryNuma,
    /// Huge pages by size.
    HugePages,
    /// Block I/O by device.
    Io,
    /// Discards, io.cost and the limits that are set, by device.
    IoDetail,
    /// RDMA devices, the controller misc, device memory.
    Resources,
    /// Network by interface.
    Network,
    /// What a network namespace counts beside: protocols, errors, sockets by state.
    NetworkDetail,
    /// Processes and threads.
    Pids,
    /// Every process looked at: threads by state, zombies, descriptors, sockets, limits.
    Processes,
    /// Pressure stall information.
    Pressure,
    /// The writable layer.
    Filesystem,
    /// Volumes and bind mounts, the size of the log, how old what was walked is.
    FilesystemDetail,
    /// Graphics processors, by container and for the host.
    Gpu,
    /// State, health, start time, restarts: what the engine knows.
    State,
    /// The host itself and what is counted over all containers.
    Host,
    /// What engines hold beside containers: images, volumes, networks.
    Engine,
    /// The disk space that engines say they use.
    EngineDisk,
    /// The exporter itself.
    Exporter,
}

impl Group {
    /// Every group, in the order of the pages.
    pub const ALL: [Self; 22] = [
        Self::State,
        Self::Cpu,
        Self::CpuDetail,
        Self::Memory,
        Self::MemoryDetail,
        Self::MemoryNuma,
        Self::HugePages,
        Self::Io,
        Self::IoDetail,
        Self::Resources,
        Self::Network,
        Self::NetworkDetail,
        Self::Pids,
        Self::Processes,
        Self::Pressure,
        Self::Filesystem,
        Self::FilesystemDetail,
        Self::Gpu,
        Self::Host,
        Self::Engine,
        Self::EngineDisk,
        Self::Exporter,
    ];

    /// The name in configuration and in `?collect[]=`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::CpuDetail => "cpu_detail",
            Self::Memory => "memory",
            Self::MemoryDetail => "memory_detail",
            Self::MemoryNuma => "memory_numa",
            Self::HugePages => "huge_pages",
            Self::Io => "io",
            Self::IoDetail => "io_detail",
            Self::Resources => "resources",
            Self::Network => "network",
            Self::NetworkDetail => "network_detail",
            Self::Pids => "pids",
            Self::Processes => "processes",
            Self::Pressure => "pressure",
            Self::Filesystem => "filesystem",
            Self::FilesystemDetail => "filesystem_detail",
            Self::Gpu => "gpu",
            Self::State => "state",
            Self::Host => "host",
            Self::Engine => "engine",
            Self::EngineDisk => "engine_disk",
            Self::Exporter => "exporter",
        }
    }

    /// The group of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.as_str() == name)
    }

    /// Whether pages have it without being asked: it is cheap, and answers what most people ask. The others are opt-in.
    #[must_use]
    pub const fn is_standard(self) -> bool {
        !matches!(
            self,
            Self::CpuDetail
                | Self::MemoryDetail
                | Self::MemoryNuma
                | Self::HugePages
                | Self::IoDetail
                | Self::Resources
                | Self::NetworkDetail
                | Self::Processes
                | Self::FilesystemDetail
                | Self::Gpu
                | Self::Engine
                | Self::EngineDisk
        )
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
