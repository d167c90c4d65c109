//! Group io_detail: what `io.stat` tells beside reads and writes, and the limits that are set, by block device.

use cgroup_reader::{At, Controller::Blkio, Scale, SourceKey};
use metric_schema::{Alias, Attribute, MetricDef, OtelMetric, Unit, Values};

use super::{Dimension, Row, Source, cpu::cadvisor, rows};
use crate::Group;

const G: &str = Group::IoDetail.as_str();
const DEVICE: &[Attribute] = &[Attribute::new("device", Values::Capped(64)).otel("system.device")];

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        FS_DISCARDS, FS_DISCARDS_BYTES, FS_IO_COST_INDEBT, FS_IO_COST_INDELAY, FS_IO_COST_USAGE,
        FS_IO_COST_WAIT, FS_READ_LIMIT, FS_READ_LIMIT_BYTES, FS_WRITE_LIMIT, FS_WRITE_LIMIT_BYTES,
    };
}

const fn stat(v1_file: &'static str, v2: &'static str) -> Source {
    Source::PerKey(
        Dimension::DeviceDetail,
        SourceKey::both(
            At::column(Blkio, v1_file, "Discard", Scale::One),
            At::column(Blkio, "io.stat", v2, Scale::One),
        ),
    )
}

const fn cost(name: &'static str, help: &'static str, aliases: &'static [Alias], key: &'static str) -> Row {
    Row::container(
        Group::IoDetail,
        MetricDef::counter(name, Unit::Seconds, G, help).by(DEVICE).aliased(aliases),
        Source::PerKey(
            Dimension::DeviceDetail,
            SourceKey::v2(At::column(Blkio, "io.stat", key, Scale::MicrosToNanos)),
        ),
    )
}

const fn limit(
    name: &'static str,
    otel: &'static str,
    unit: Unit,
    help: &'static str,
    v1: &'static str,
    v2: &'static str,
) -> Row {
    Row::container(
        Group::IoDetail,
        MetricDef::gauge(name, unit, G, help).otel(OtelMetric::gauge(otel, unit)).by(DEVICE),
        Source::PerKey(
            Dimension::DeviceDetail,
            SourceKey::both(
                At::column(Blkio, v1, "", Scale::One),
                At::column(Blkio, "io.max", v2, Scale::One),
            ),
        ),
    )
}

rows! { super::processes::END;
    FS_DISCARDS_BYTES = Row::container(Group::IoDetail,
        MetricDef::counter("container.fs.discards", Unit::Bytes, G, "Bytes of the device that the container gave back (discard, TRIM).")
            .otel(OtelMetric::counter("container.disk.discard.io", Unit::Bytes)).by(DEVICE),
        stat("blkio.throttle.io_service_bytes_recursive", "dbytes"));
    FS_DISCARDS = Row::container(Group::IoDetail,
        MetricDef::counter("container.fs.discards", Unit::Count("{operation}"), G, "Discard operations on the device.")
            .otel(OtelMetric::counter("container.disk.discard.operations", Unit::Count("{operation}"))).by(DEVICE),
        stat("blkio.throttle.io_serviced_recursive", "dios"));
    FS_IO_COST_USAGE = cost("container.fs.io_cost.usage",
        "Time of the device that the container's I/O cost, as io.cost reckons it.",
        cadvisor!("container_fs_io_cost_usage_seconds_total"), "cost.usage");
    FS_IO_COST_WAIT = cost("container.fs.io_cost.wait",
        "Time that the container's I/O was held back by io.cost; told with blkcg_debug_stats only, as the next two.",
        cadvisor!("container_fs_io_cost_wait_seconds_total"), "cost.wait");
    FS_IO_COST_INDEBT = cost("container.fs.io_cost.indebt",
        "Time for which the container owed io.cost for I/O that could not wait.",
        cadvisor!("container_fs_io_cost_indebt_seconds_total"), "cost.indebt");
    FS_IO_COST_INDELAY = cost("container.fs.io_cost.indelay",
        "Time for which the container's processes were delayed because it owed io.cost.",
        cadvisor!("container_fs_io_cost_indelay_seconds_total"), "cost.indelay");
    FS_READ_LIMIT_BYTES = limit("container.fs.read_limit_bytes_per_second", "container.disk.read.limit",
        Unit::Count("By/s"), "Bytes that the container may read from the device in a second; absent without a limit.",
        "blkio.throttle.read_bps_device", "rbps");
    FS_WRITE_LIMIT_BYTES = limit("container.fs.write_limit_bytes_per_second", "container.disk.write.limit",
        Unit::Count("By/s"), "Bytes that the container may write to the device in a second; absent without a limit.",
        "blkio.throttle.write_bps_device", "wbps");
    FS_READ_LIMIT = limit("container.fs.read_limit_operations_per_second", "container.disk.read.operations.limit",
        Unit::Count("{operation}/s"), "Read operations that the container may do on the device in a second; absent without a limit.",
        "blkio.throttle.read_iops_device", "riops");
    FS_WRITE_LIMIT = limit("container.fs.write_limit_operations_per_second", "container.disk.write.operations.limit",
        Unit::Count("{operation}/s"), "Write operations that the container may do on the device in a second; absent without a limit.",
        "blkio.throttle.write_iops_device", "wiops");
}
