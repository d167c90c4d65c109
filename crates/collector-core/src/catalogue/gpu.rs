//! Group gpu, by container: what its processes use of each GPU, as the GPU's own library tells.

use metric_schema::{Alias, Attribute, Conversion, MetricDef, OtelMetric, Unit, Values};

use super::{Dimension, Row, Source, cpu::cadvisor, rows};
use crate::Group;

const G: &str = Group::Gpu.as_str();

/// GPUs of one host that are shown, at most; the parts of a divided one count each.
const GPUS_MAX: usize = 128;

pub(super) const BY_GPU: &[Attribute] = &[
    Attribute::new("gpu", Values::Capped(GPUS_MAX)).otel("hw.id"),
    Attribute::new("model", Values::Capped(GPUS_MAX)).otel("hw.model"),
];
const BY_ACCELERATOR: &[Attribute] = &[
    Attribute::new("make", Values::Capped(1)),
    Attribute::new("model", Values::Capped(GPUS_MAX)),
    Attribute::new("acc_id", Values::Capped(GPUS_MAX)),
];
pub(super) const GPU: Source = Source::SamplerTable(Dimension::Gpu);

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        ACCELERATOR_DUTY_CYCLE, ACCELERATOR_MEMORY_TOTAL, ACCELERATOR_MEMORY_USED, GPU_DECODER_USAGE,
        GPU_ENCODER_USAGE, GPU_MEMORY_USAGE, GPU_PROCESSES, GPU_USAGE,
    };
}

/// As points of one metric, by what the GPU does.
const fn task(fixed: &'static [(&'static str, &'static str)]) -> OtelMetric {
    OtelMetric::gauge("container.gpu.utilization", Unit::One).with(fixed).converted(Conversion::PerHundred)
}

const OF_DEVICE: &str =
    "the device's own number, for each container that uses it; container_gpu_* tell the container's";

rows! { super::network_detail::END;
    GPU_MEMORY_USAGE = Row::container(Group::Gpu,
        MetricDef::up_down("container.gpu.memory.usage", Unit::Bytes, G,
            "Memory of the GPU that the container's processes hold.").by(BY_GPU),
        GPU);
    GPU_USAGE = Row::container(Group::Gpu,
        MetricDef::gauge("container.gpu.usage", Unit::Percent, G,
            "Time that the GPU's multiprocessors worked for the container's processes, of the library's last sampling period; 100 is all of one GPU.")
            .otel(task(&[("hw.gpu.task", "general")])).by(BY_GPU),
        GPU);
    GPU_ENCODER_USAGE = Row::container(Group::Gpu,
        MetricDef::gauge("container.gpu.encoder.usage", Unit::Percent, G,
            "The same of the GPU's video encoders.")
            .otel(task(&[("hw.gpu.task", "encoder")])).by(BY_GPU),
        GPU);
    GPU_DECODER_USAGE = Row::container(Group::Gpu,
        MetricDef::gauge("container.gpu.decoder.usage", Unit::Percent, G,
            "The same of the GPU's video decoders.")
            .otel(task(&[("hw.gpu.task", "decoder")])).by(BY_GPU),
        GPU);
    GPU_PROCESSES = Row::container(Group::Gpu,
        MetricDef::up_down("container.gpu.processes", Unit::Count("{process}"), G,
            "Processes of the container that use the GPU.").by(BY_GPU),
        GPU);
    ACCELERATOR_MEMORY_TOTAL = Row::container(Group::Gpu,
        MetricDef::gauge("container.accelerator.memory_total", Unit::Bytes, G,
            "Memory of the GPU that the container uses.")
            .by(BY_ACCELERATOR).aliased(cadvisor!("container_accelerator_memory_total_bytes")).only_aliased(OF_DEVICE),
        GPU);
    ACCELERATOR_MEMORY_USED = Row::container(Group::Gpu,
        MetricDef::gauge("container.accelerator.memory_used", Unit::Bytes, G,
            "Memory in use of the GPU that the container uses, whoever holds it.")
            .by(BY_ACCELERATOR).aliased(cadvisor!("container_accelerator_memory_used_bytes")).only_aliased(OF_DEVICE),
        GPU);
    ACCELERATOR_DUTY_CYCLE = Row::container(Group::Gpu,
        MetricDef::gauge("container.accelerator.duty_cycle", Unit::Percent, G,
            "Time that the GPU that the container uses worked, whoever for, of its last sampling period.")
            .by(BY_ACCELERATOR).aliased(cadvisor!("container_accelerator_duty_cycle")).only_aliased(OF_DEVICE),
        GPU);
}
