//! Group filesystem: the writable layer, walked in the background, and the file system under it.

use metric_schema::{Alias, Attribute, MetricDef, OtelMetric, Unit, Values};

use super::{Dimension, Row, Source, cpu::cadvisor, rows};
use crate::Group;

const G: &str = Group::Filesystem.as_str();
const DEVICE: &[Attribute] = &[Attribute::new("device", Values::Capped(1)).on_pages_only()];
const LAYER: Source = Source::SamplerTable(Dimension::Filesystem);

/// The constants of this file.
pub(super) mod ids {
    pub use super::{FS_AVAILABLE, FS_INODES_FREE, FS_INODES_TOTAL, FS_LIMIT, FS_USAGE};
}

rows! { super::pressure::END;
    FS_USAGE = Row::container(Group::Filesystem,
        MetricDef::up_down("container.fs.usage", Unit::Bytes, G,
            "Space that the writable layer takes, as its last walk found it (walks are at most every 10 minutes).")
            .otel(OtelMetric::up_down("container.filesystem.usage", Unit::Bytes).by_convention())
            .by(DEVICE).aliased(cadvisor!("container_fs_usage_bytes")),
        LAYER);
    FS_LIMIT = Row::container(Group::Filesystem,
        MetricDef::up_down("container.fs.limit", Unit::Bytes, G, "Size of the file system under the writable layer.")
            .otel(OtelMetric::up_down("container.filesystem.capacity", Unit::Bytes).by_convention())
            .by(DEVICE).aliased(cadvisor!("container_fs_limit_bytes")),
        LAYER);
    FS_AVAILABLE = Row::container(Group::Filesystem,
        MetricDef::up_down("container.fs.available", Unit::Bytes, G,
            "Space that the file system under the writable layer has for those who are not root.")
            .otel(OtelMetric::up_down("container.filesystem.available", Unit::Bytes).by_convention())
            .by(DEVICE).only_aliased("it is the host's; pages keep to what cAdvisor has"),
        LAYER);
    FS_INODES_FREE = Row::container(Group::Filesystem,
        MetricDef::up_down("container.fs.inodes_free", Unit::Count("{inode}"), G,
            "Free inodes of the file system under the writable layer.")
            .otel(OtelMetric::up_down("container.filesystem.inodes_free", Unit::Count("{inode}")))
            .by(DEVICE).aliased(cadvisor!("container_fs_inodes_free")),
        LAYER);
    FS_INODES_TOTAL = Row::container(Group::Filesystem,
        MetricDef::up_down("container.fs.inodes_total", Unit::Count("{inode}"), G,
            "Inodes of the file system under the writable layer.")
            .otel(OtelMetric::up_down("container.filesystem.inodes_total", Unit::Count("{inode}")))
            .by(DEVICE).aliased(cadvisor!("container_fs_inodes_total")),
        LAYER);
}
