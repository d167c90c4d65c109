//! Group gpu, of the host: each GPU as a whole.

use metric_schema::{Conversion, MetricDef, OtelMetric, Unit};

use super::{
    Entity, Row,
    gpu::{BY_GPU, GPU},
    rows,
};
use crate::Group;

const G: &str = Group::Gpu.as_str();

/// The constants of this file.
pub(super) mod ids {
    pub use super::{HOST_GPU_MEMORY_LIMIT, HOST_GPU_MEMORY_USAGE, HOST_GPU_UP, HOST_GPU_USAGE};
}

const fn row(def: MetricDef) -> Row {
    Row::new(Group::Gpu, Entity::Host, def.by(BY_GPU), GPU)
}

rows! { super::host::END;
    HOST_GPU_UP = row(
        MetricDef::gauge("host.gpu.up", Unit::One, G,
            "1 for each GPU that answers, 0 for one that did and no longer does."));
    HOST_GPU_MEMORY_LIMIT = row(
        MetricDef::up_down("host.gpu.memory.limit", Unit::Bytes, G, "Memory of the GPU.")
            .otel(OtelMetric::up_down("hw.gpu.memory.limit", Unit::Bytes).by_convention()));
    HOST_GPU_MEMORY_USAGE = row(
        MetricDef::up_down("host.gpu.memory.usage", Unit::Bytes, G,
            "Memory of the GPU that is in use, whoever holds it.")
            .otel(OtelMetric::up_down("hw.gpu.memory.usage", Unit::Bytes).by_convention()));
    HOST_GPU_USAGE = row(
        MetricDef::gauge("host.gpu.usage", Unit::Percent, G,
            "Time that the GPU worked, whoever for, of its last sampling period.")
            .otel(OtelMetric::gauge("hw.gpu.utilization", Unit::One).with(&[("hw.gpu.task", "general")])
                .converted(Conversion::PerHundred).by_convention()));
}
