//! Group memory_numa: `memory.numa_stat`, by memory node.

use cgroup_reader::{At, Controller::Memory, Scale, SourceKey};
use metric_schema::{Alias, Attribute, MetricDef, Unit, Values};

use super::{Dimension, Row, Source, cpu::cadvisor, rows};
use crate::Group;

const G: &str = Group::MemoryNuma.as_str();
/// A container's memory on more nodes is not shown.
const NODE: &[Attribute] = &[Attribute::new("node", Values::Capped(64))];
const HELP: &str = "Memory on the node, by what it holds.";
const PAGES_HELP: &str =
    "Pages on the node, by what they hold, in the container itself or with the cgroups below it.";

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        NUMA_ANON, NUMA_FILE, NUMA_KERNEL_STACK, NUMA_PAGE_TABLES, NUMA_PAGES_ANON, NUMA_PAGES_ANON_OWN,
        NUMA_PAGES_FILE, NUMA_PAGES_FILE_OWN, NUMA_PAGES_TOTAL, NUMA_PAGES_TOTAL_OWN, NUMA_PAGES_UNEVICTABLE,
        NUMA_PAGES_UNEVICTABLE_OWN, NUMA_SHMEM, NUMA_SLAB_RECLAIMABLE, NUMA_SLAB_UNRECLAIMABLE,
        NUMA_UNEVICTABLE,
    };
}

const fn at(kind: &'static str, scale: Scale) -> At {
    At::column(Memory, "memory.numa_stat", kind, scale)
}

const fn bytes(name: &'static str, labels: &'static [(&'static str, &'static str)], key: SourceKey) -> Row {
    Row::container(
        Group::MemoryNuma,
        MetricDef::up_down(name, Unit::Bytes, G, HELP)
            .named("container_memory_numa_bytes", "one family, by type")
            .with(labels)
            .by(NODE),
        Source::PerKey(Dimension::Node, key),
    )
}

/// v1 counts pages.
const fn both(v1: &'static str, v2: &'static str) -> SourceKey {
    SourceKey::both(at(v1, Scale::PagesToBytes), at(v2, Scale::One))
}

const fn v2(kind: &'static str) -> SourceKey {
    SourceKey::v2(at(kind, Scale::One))
}

/// cAdvisor's name, which it has on v1 only.
const fn pages(
    name: &'static str,
    labels: &'static [(&'static str, &'static str)],
    kind: &'static str,
) -> Row {
    Row::container(
        Group::MemoryNuma,
        MetricDef::gauge(name, Unit::Count("{page}"), G, PAGES_HELP)
            .named("container_memory_numa_pages", "cAdvisor's name")
            .with(labels)
            .by(NODE)
            .aliased(cadvisor!("container_memory_numa_pages"))
            .only_aliased("the same numbers as container_memory_numa_bytes"),
        Source::PerKey(Dimension::Node, SourceKey::v1(at(kind, Scale::One))),
    )
}

rows! { super::huge_pages::END;
    NUMA_ANON = bytes("container.memory.numa.anon", &[("type", "anon")], both("hierarchical_anon", "anon"));
    NUMA_FILE = bytes("container.memory.numa.file", &[("type", "file")], both("hierarchical_file", "file"));
    NUMA_UNEVICTABLE = bytes("container.memory.numa.unevictable", &[("type", "unevictable")],
        both("hierarchical_unevictable", "unevictable"));
    NUMA_SHMEM = bytes("container.memory.numa.shmem", &[("type", "shmem")], v2("shmem"));
    NUMA_KERNEL_STACK = bytes("container.memory.numa.kernel_stack", &[("type", "kernel_stack")], v2("kernel_stack"));
    NUMA_PAGE_TABLES = bytes("container.memory.numa.pagetables", &[("type", "pagetables")], v2("pagetables"));
    NUMA_SLAB_RECLAIMABLE = bytes("container.memory.numa.slab_reclaimable", &[("type", "slab_reclaimable")],
        v2("slab_reclaimable"));
    NUMA_SLAB_UNRECLAIMABLE = bytes("container.memory.numa.slab_unreclaimable", &[("type", "slab_unreclaimable")],
        v2("slab_unreclaimable"));
    NUMA_PAGES_TOTAL_OWN = pages("container.memory.numa_pages.total.container",
        &[("scope", "container"), ("type", "total")], "total");
    NUMA_PAGES_FILE_OWN = pages("container.memory.numa_pages.file.container",
        &[("scope", "container"), ("type", "file")], "file");
    NUMA_PAGES_ANON_OWN = pages("container.memory.numa_pages.anon.container",
        &[("scope", "container"), ("type", "anon")], "anon");
    NUMA_PAGES_UNEVICTABLE_OWN = pages("container.memory.numa_pages.unevictable.container",
        &[("scope", "container"), ("type", "unevictable")], "unevictable");
    NUMA_PAGES_TOTAL = pages("container.memory.numa_pages.total.hierarchy",
        &[("scope", "hierarchy"), ("type", "total")], "hierarchical_total");
    NUMA_PAGES_FILE = pages("container.memory.numa_pages.file.hierarchy",
        &[("scope", "hierarchy"), ("type", "file")], "hierarchical_file");
    NUMA_PAGES_ANON = pages("container.memory.numa_pages.anon.hierarchy",
        &[("scope", "hierarchy"), ("type", "anon")], "hierarchical_anon");
    NUMA_PAGES_UNEVICTABLE = pages("container.memory.numa_pages.unevictable.hierarchy",
        &[("scope", "hierarchy"), ("type", "unevictable")], "hierarchical_unevictable");
}
