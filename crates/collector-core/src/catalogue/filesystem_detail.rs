//! Group filesystem_detail: volumes and bind mounts, measured in the background, the size of the log, and how old what was
//! walked is.

use metric_schema::{Attribute, MetricDef, Unit, Values};

use super::{Dimension, Row, Source, rows};
use crate::Group;

const G: &str = Group::FilesystemDetail.as_str();
const MOUNT: &[Attribute] = &[
    Attribute::new("mount", Values::Capped(32)).otel("container.mount.point"),
    Attribute::new("volume", Values::Capped(32)).otel("container.mount.volume"),
    Attribute::new("type", Values::Capped(32)).otel("container.mount.type"),
];
const BY_MOUNT: Source = Source::SamplerTable(Dimension::Mount);

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        FS_USAGE_AGE, LOG_SIZE, MOUNT_AGE, MOUNT_AVAILABLE, MOUNT_INODES_FREE, MOUNT_INODES_TOTAL,
        MOUNT_LIMIT, MOUNT_USAGE,
    };
}

const fn mount(def: MetricDef) -> Row {
    Row::container(Group::FilesystemDetail, def.by(MOUNT), BY_MOUNT)
}

rows! { super::resources::END;
    FS_USAGE_AGE = Row::container(Group::FilesystemDetail,
        MetricDef::gauge("container.fs.usage_age", Unit::Seconds, G,
            "Time since the walk that found container_fs_usage_bytes."),
        Source::Sampler);
    LOG_SIZE = Row::container(Group::FilesystemDetail,
        MetricDef::up_down("container.log.size", Unit::Bytes, G,
            "Size of the file that the engine writes the container's output to; those it was rotated to are not counted."),
        Source::Sampler);
    MOUNT_USAGE = mount(
        MetricDef::up_down("container.mount.usage", Unit::Bytes, G,
            "Space that the volume or bind mount takes, as its last walk found it; what is mounted below it is not counted."));
    MOUNT_LIMIT = mount(
        MetricDef::up_down("container.mount.limit", Unit::Bytes, G, "Size of the file system behind the volume or bind mount."));
    MOUNT_AVAILABLE = mount(
        MetricDef::up_down("container.mount.available", Unit::Bytes, G,
            "Space that the file system behind the volume or bind mount has for those who are not root."));
    MOUNT_INODES_FREE = mount(
        MetricDef::up_down("container.mount.inodes_free", Unit::Count("{inode}"), G,
            "Free inodes of the file system behind the volume or bind mount."));
    MOUNT_INODES_TOTAL = mount(
        MetricDef::up_down("container.mount.inodes", Unit::Count("{inode}"), G,
            "Inodes of the file system behind the volume or bind mount."));
    MOUNT_AGE = mount(
        MetricDef::gauge("container.mount.age", Unit::Seconds, G,
            "Time since the volume or bind mount was measured."));
}
