//! Group memory_detail: what memory is made of, its boundaries, the events of the cgroup itself, and swap in full.

use cgroup_reader::{At, Controller::Memory, Scale, SourceKey};
use metric_schema::{MetricDef, Unit};

use super::{Row, Source, rows};
use crate::Group;

const G: &str = Group::MemoryDetail.as_str();

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        MEMORY_ACTIVE_ANON, MEMORY_ANON_THP, MEMORY_FILE_THP, MEMORY_HIGH, MEMORY_INACTIVE_ANON,
        MEMORY_KERNEL_STACK, MEMORY_LOCAL_HIGH, MEMORY_LOCAL_LOW, MEMORY_LOCAL_MAX, MEMORY_LOCAL_OOM,
        MEMORY_LOCAL_OOM_GROUP_KILL, MEMORY_LOCAL_OOM_KILL, MEMORY_LOW, MEMORY_MIN, MEMORY_PAGE_TABLES,
        MEMORY_PERCPU, MEMORY_SEC_PAGE_TABLES, MEMORY_SHMEM, MEMORY_SHMEM_THP, MEMORY_SLAB_RECLAIMABLE,
        MEMORY_SLAB_UNRECLAIMABLE, MEMORY_SOCK, MEMORY_SWAP_CACHED, MEMORY_SWAP_EVENTS_FAIL,
        MEMORY_SWAP_EVENTS_HIGH, MEMORY_SWAP_EVENTS_MAX, MEMORY_SWAP_LIMIT, MEMORY_SWAP_PEAK,
        MEMORY_UNEVICTABLE, MEMORY_VMALLOC, MEMORY_ZSWAP, MEMORY_ZSWAPPED,
    };
}

const fn stat_key(key: &'static str) -> At {
    At::key(Memory, "memory.stat", key, Scale::One)
}

const fn both(v1: &'static str, v2: &'static str) -> Source {
    Source::Key(SourceKey::both(stat_key(v1), stat_key(v2)))
}

/// v1 does not tell it.
const fn v2(key: &'static str) -> Source {
    Source::Key(SourceKey::v2(stat_key(key)))
}

const fn whole(file: &'static str) -> Source {
    Source::Key(SourceKey::v2(At::whole(Memory, file, Scale::One)))
}

const fn swap_event(key: &'static str) -> Source {
    Source::Key(SourceKey::v2(At::key(Memory, "memory.swap.events", key, Scale::One)))
}

const fn local_event(key: &'static str) -> Source {
    Source::Key(SourceKey::v2(At::key(Memory, "memory.events.local", key, Scale::One)))
}

const fn bytes(name: &'static str, help: &'static str) -> MetricDef {
    MetricDef::up_down(name, Unit::Bytes, G, help)
}

const fn events(name: &'static str, help: &'static str) -> MetricDef {
    MetricDef::counter(name, Unit::Count("{event}"), G, help)
}

rows! { super::filesystem::END;
    MEMORY_SHMEM = Row::container(Group::MemoryDetail,
        bytes("container.memory.shmem", "Shared memory and tmpfs: part of the page cache that no disk can take back."),
        both("total_shmem", "shmem"));
    MEMORY_ACTIVE_ANON = Row::container(Group::MemoryDetail,
        bytes("container.memory.active_anon", "Anonymous memory that was used of late."),
        both("total_active_anon", "active_anon"));
    MEMORY_INACTIVE_ANON = Row::container(Group::MemoryDetail,
        bytes("container.memory.inactive_anon", "Anonymous memory that can be swapped out first."),
        both("total_inactive_anon", "inactive_anon"));
    MEMORY_UNEVICTABLE = Row::container(Group::MemoryDetail,
        bytes("container.memory.unevictable", "Memory that cannot be taken back, as by mlock."),
        both("total_unevictable", "unevictable"));
    MEMORY_ANON_THP = Row::container(Group::MemoryDetail,
        bytes("container.memory.anon_thp", "Anonymous memory in transparent huge pages."),
        both("total_rss_huge", "anon_thp"));
    MEMORY_FILE_THP = Row::container(Group::MemoryDetail,
        bytes("container.memory.file_thp", "Page cache in transparent huge pages."), v2("file_thp"));
    MEMORY_SHMEM_THP = Row::container(Group::MemoryDetail,
        bytes("container.memory.shmem_thp", "Shared memory in transparent huge pages."), v2("shmem_thp"));
    MEMORY_SLAB_RECLAIMABLE = Row::container(Group::MemoryDetail,
        bytes("container.memory.slab_reclaimable", "Kernel objects that can be dropped, as inodes and directory entries."),
        v2("slab_reclaimable"));
    MEMORY_SLAB_UNRECLAIMABLE = Row::container(Group::MemoryDetail,
        bytes("container.memory.slab_unreclaimable", "Kernel objects that cannot be dropped."),
        v2("slab_unreclaimable"));
    MEMORY_SOCK = Row::container(Group::MemoryDetail,
        bytes("container.memory.sock", "Buffers of network connections; of TCP only on cgroup v1."),
        Source::Key(SourceKey::both(
            At::whole(Memory, "memory.kmem.tcp.usage_in_bytes", Scale::One), stat_key("sock"))));
    MEMORY_KERNEL_STACK = Row::container(Group::MemoryDetail,
        bytes("container.memory.kernel_stack", "Kernel stacks of the threads."), v2("kernel_stack"));
    MEMORY_PAGE_TABLES = Row::container(Group::MemoryDetail,
        bytes("container.memory.pagetables", "Page tables of the processes."), v2("pagetables"));
    MEMORY_SEC_PAGE_TABLES = Row::container(Group::MemoryDetail,
        bytes("container.memory.secondary_pagetables", "Page tables of virtual machines and devices (sec_pagetables)."), v2("sec_pagetables"));
    MEMORY_PERCPU = Row::container(Group::MemoryDetail,
        bytes("container.memory.percpu", "What the kernel keeps for each CPU."), v2("percpu"));
    MEMORY_VMALLOC = Row::container(Group::MemoryDetail,
        bytes("container.memory.vmalloc", "Kernel memory that is only virtually contiguous."), v2("vmalloc"));
    MEMORY_ZSWAP = Row::container(Group::MemoryDetail,
        bytes("container.memory.zswap", "Memory that holds compressed pages of swap."), v2("zswap"));
    MEMORY_ZSWAPPED = Row::container(Group::MemoryDetail,
        bytes("container.memory.zswapped", "Pages that are held compressed, by their size before."), v2("zswapped"));
    MEMORY_SWAP_CACHED = Row::container(Group::MemoryDetail,
        bytes("container.memory.swapcached", "Pages in memory that have a copy in swap."), both("total_swapcached", "swapcached"));
    MEMORY_MIN = Row::container(Group::MemoryDetail,
        bytes("container.memory.min", "Memory that is never taken from the container (memory.min)."),
        whole("memory.min"));
    MEMORY_LOW = Row::container(Group::MemoryDetail,
        bytes("container.memory.low", "Memory that is taken only if there is no other (memory.low)."),
        whole("memory.low"));
    MEMORY_HIGH = Row::container(Group::MemoryDetail,
        bytes("container.memory.high", "Use above which processes are slowed (memory.high); absent where there is no boundary."),
        whole("memory.high"));
    MEMORY_SWAP_PEAK = Row::container(Group::MemoryDetail,
        bytes("container.memory.swap_peak", "The most swap space that was ever in use in this run."),
        whole("memory.swap.peak"));
    MEMORY_SWAP_LIMIT = Row::container(Group::MemoryDetail,
        bytes("container.memory.swap_limit", "Swap space that the container may use; absent where there is no limit."),
        whole("memory.swap.max"));
    MEMORY_SWAP_EVENTS_HIGH = Row::container(Group::MemoryDetail,
        events("container.memory.swap_events.high", "Times that swap in use went over the high boundary."),
        swap_event("high"));
    MEMORY_SWAP_EVENTS_MAX = Row::container(Group::MemoryDetail,
        events("container.memory.swap_events.max", "Times that swap in use was about to go over its limit."),
        swap_event("max"));
    MEMORY_SWAP_EVENTS_FAIL = Row::container(Group::MemoryDetail,
        events("container.memory.swap_events.fail", "Times that no swap space was to be had: none was left, or the limit was reached."),
        swap_event("fail"));
    MEMORY_LOCAL_LOW = Row::container(Group::MemoryDetail,
        events("container.memory.events_local.low", "As container_memory_events_low_total, without the cgroups below."),
        local_event("low"));
    MEMORY_LOCAL_HIGH = Row::container(Group::MemoryDetail,
        events("container.memory.events_local.high", "As container_memory_events_high_total, without the cgroups below."),
        local_event("high"));
    MEMORY_LOCAL_MAX = Row::container(Group::MemoryDetail,
        events("container.memory.events_local.max", "As container_memory_events_max_total, without the cgroups below."),
        local_event("max"));
    MEMORY_LOCAL_OOM = Row::container(Group::MemoryDetail,
        events("container.memory.events_local.oom", "As container_memory_events_oom_total, without the cgroups below."),
        local_event("oom"));
    MEMORY_LOCAL_OOM_KILL = Row::container(Group::MemoryDetail,
        MetricDef::counter("container.memory.events_local.oom_kill", Unit::Count("{process}"), G,
            "As container_memory_events_oom_kill_total, without the cgroups below."),
        local_event("oom_kill"));
    MEMORY_LOCAL_OOM_GROUP_KILL = Row::container(Group::MemoryDetail,
        events("container.memory.events_local.oom_group_kill", "As container_memory_events_oom_group_kill_total, without the cgroups below."),
        local_event("oom_group_kill"));
}
