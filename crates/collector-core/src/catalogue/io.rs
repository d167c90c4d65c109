//! Group io: `io.stat` and `blkio.throttle.*`, by block device.

use cgroup_reader::{At, Controller::Blkio, Scale, SourceKey};
use metric_schema::{Alias, Attribute, MetricDef, OtelMetric, Unit, Values};

use super::{Dimension, Row, Source, cpu::cadvisor, rows};
use crate::Group;

const G: &str = Group::Io.as_str();
const DEVICE: &[Attribute] = &[Attribute::new("device", Values::Capped(64)).otel("system.device")];
const NUMBERED: &[Attribute] = &[
    Attribute::new("device", Values::Capped(64)),
    Attribute::new("major", Values::Capped(64)),
    Attribute::new("minor", Values::Capped(64)),
];

/// The constants of this file.
pub(super) mod ids {
    pub use super::{BLKIO_READ, BLKIO_WRITE, FS_READS, FS_READS_BYTES, FS_WRITES, FS_WRITES_BYTES};
}

const fn bytes(v1: &'static str, v2: &'static str) -> Source {
    Source::PerKey(
        Dimension::Device,
        SourceKey::both(
            At::column(Blkio, "blkio.throttle.io_service_bytes_recursive", v1, Scale::One),
            At::column(Blkio, "io.stat", v2, Scale::One),
        ),
    )
}

const fn operations(v1: &'static str, v2: &'static str) -> Source {
    Source::PerKey(
        Dimension::Device,
        SourceKey::both(
            At::column(Blkio, "blkio.throttle.io_serviced_recursive", v1, Scale::One),
            At::column(Blkio, "io.stat", v2, Scale::One),
        ),
    )
}

rows! { super::memory::END;
    FS_READS_BYTES = Row::container(Group::Io,
        MetricDef::counter("container.fs.reads", Unit::Bytes, G, "Bytes read from the device by the container.")
            .otel(OtelMetric::counter("container.disk.io", Unit::Bytes).with(&[("disk.io.direction", "read")]).by_convention())
            .by(DEVICE).aliased(cadvisor!("container_fs_reads_bytes_total")),
        bytes("Read", "rbytes"));
    FS_WRITES_BYTES = Row::container(Group::Io,
        MetricDef::counter("container.fs.writes", Unit::Bytes, G, "Bytes written to the device by the container.")
            .otel(OtelMetric::counter("container.disk.io", Unit::Bytes).with(&[("disk.io.direction", "write")]).by_convention())
            .by(DEVICE).aliased(cadvisor!("container_fs_writes_bytes_total")),
        bytes("Write", "wbytes"));
    FS_READS = Row::container(Group::Io,
        MetricDef::counter("container.fs.reads", Unit::Count("{operation}"), G, "Read operations on the device.")
            .otel(OtelMetric::counter("container.disk.operations", Unit::Count("{operation}")).with(&[("disk.io.direction", "read")]))
            .by(DEVICE).aliased(cadvisor!("container_fs_reads_total")),
        operations("Read", "rios"));
    FS_WRITES = Row::container(Group::Io,
        MetricDef::counter("container.fs.writes", Unit::Count("{operation}"), G, "Write operations on the device.")
            .otel(OtelMetric::counter("container.disk.operations", Unit::Count("{operation}")).with(&[("disk.io.direction", "write")]))
            .by(DEVICE).aliased(cadvisor!("container_fs_writes_total")),
        operations("Write", "wios"));
    BLKIO_READ = Row::container(Group::Io,
        MetricDef::counter("container.blkio.device_usage.read", Unit::Bytes, G, BLKIO_HELP)
            .named("container_blkio_device_usage_total", "cAdvisor's name")
            .with(&[("operation", "Read")]).by(NUMBERED)
            .aliased(cadvisor!("container_blkio_device_usage_total"))
            .only_aliased("the same numbers as container_fs_reads_bytes_total"),
        bytes("Read", "rbytes"));
    BLKIO_WRITE = Row::container(Group::Io,
        MetricDef::counter("container.blkio.device_usage.write", Unit::Bytes, G, BLKIO_HELP)
            .named("container_blkio_device_usage_total", "cAdvisor's name")
            .with(&[("operation", "Write")]).by(NUMBERED)
            .aliased(cadvisor!("container_blkio_device_usage_total"))
            .only_aliased("the same numbers as container_fs_writes_bytes_total"),
        bytes("Write", "wbytes"));
}

const BLKIO_HELP: &str = "Bytes moved by the container, by device and operation.";
