//! Group resources: RDMA devices, the controller misc, and device memory (of GPUs, as far as their drivers tell the kernel).

use cgroup_reader::{
    At,
    Controller::{self, Dmem, Misc, Rdma},
    Scale, SourceKey,
};
use metric_schema::{Attribute, MetricDef, OtelMetric, Unit, Values};

use super::{Dimension, Row, Source, rows};
use crate::Group;

const G: &str = Group::Resources.as_str();
const DEVICE: &[Attribute] = &[Attribute::new("device", Values::Capped(64)).otel("system.device")];
const RESOURCE: &[Attribute] = &[Attribute::new("resource", Values::Capped(64))];
const REGION: &[Attribute] = &[Attribute::new("region", Values::Capped(64))];

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        DMEM_LIMIT, DMEM_LOW, DMEM_MIN, DMEM_USAGE, MISC_FAILCNT, MISC_LIMIT, MISC_PEAK, MISC_USAGE,
        RDMA_HANDLES, RDMA_HANDLES_LIMIT, RDMA_OBJECTS, RDMA_OBJECTS_LIMIT,
    };
}

const fn at(controller: Controller, file: &'static str, column: &'static str) -> At {
    At::column(controller, file, column, Scale::One)
}

/// v1 has the controller with the same files.
const fn rdma(file: &'static str, column: &'static str) -> Source {
    Source::PerKey(Dimension::RdmaDevice, SourceKey::same(at(Rdma, file, column)))
}

const fn misc(file: &'static str) -> Source {
    Source::PerKey(Dimension::Resource, SourceKey::same(at(Misc, file, "")))
}

const fn dmem(file: &'static str) -> Source {
    Source::PerKey(Dimension::Region, SourceKey::v2(at(Dmem, file, "")))
}

const fn count(
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    by: &'static [Attribute],
) -> MetricDef {
    MetricDef::up_down(name, Unit::Count(unit), G, help).by(by)
}

const fn bytes(name: &'static str, help: &'static str) -> MetricDef {
    MetricDef::up_down(name, Unit::Bytes, G, help).by(REGION)
}

rows! { super::memory_numa::END;
    RDMA_HANDLES = Row::container(Group::Resources,
        count("container.rdma.handles", "{handle}", "Handles of the RDMA device in use (hca_handle).", DEVICE),
        rdma("rdma.current", "hca_handle"));
    RDMA_OBJECTS = Row::container(Group::Resources,
        count("container.rdma.objects", "{object}", "Objects of the RDMA device in use (hca_object).", DEVICE),
        rdma("rdma.current", "hca_object"));
    RDMA_HANDLES_LIMIT = Row::container(Group::Resources,
        count("container.rdma.handles_limit", "{handle}", "Handles of the RDMA device that the container may use; absent without a limit.", DEVICE),
        rdma("rdma.max", "hca_handle"));
    RDMA_OBJECTS_LIMIT = Row::container(Group::Resources,
        count("container.rdma.objects_limit", "{object}", "Objects of the RDMA device that the container may use; absent without a limit.", DEVICE),
        rdma("rdma.max", "hca_object"));
    MISC_USAGE = Row::container(Group::Resources,
        count("container.misc.usage", "{unit}", "Units of the resource in use, such as ids of encrypted virtual machines.", RESOURCE),
        misc("misc.current"));
    MISC_LIMIT = Row::container(Group::Resources,
        count("container.misc.limit", "{unit}", "Units of the resource that the container may use; absent without a limit.", RESOURCE),
        misc("misc.max"));
    MISC_PEAK = Row::container(Group::Resources,
        count("container.misc.peak", "{unit}", "The most units of the resource that were ever in use.", RESOURCE),
        misc("misc.peak"));
    MISC_FAILCNT = Row::container(Group::Resources,
        MetricDef::counter("container.misc.events.max", Unit::Count("{hit}"), G, "Times that use of the resource hit the limit.")
            .otel(OtelMetric::counter("container.misc.limit_hits", Unit::Count("{hit}"))).by(RESOURCE),
        Source::PerKey(Dimension::Resource, SourceKey::same(at(Misc, "misc.events", "max"))));
    DMEM_USAGE = Row::container(Group::Resources,
        bytes("container.dmem.usage", "Memory of the device's region in use: of a GPU, where its driver tells the kernel."),
        dmem("dmem.current"));
    DMEM_LIMIT = Row::container(Group::Resources,
        bytes("container.dmem.limit", "Memory of the region that the container may use; absent without a limit."),
        dmem("dmem.max"));
    DMEM_MIN = Row::container(Group::Resources,
        bytes("container.dmem.min", "Memory of the region that is never taken from the container."),
        dmem("dmem.min"));
    DMEM_LOW = Row::container(Group::Resources,
        bytes("container.dmem.low", "Memory of the region that is taken only if there is no other."),
        dmem("dmem.low"));
}
