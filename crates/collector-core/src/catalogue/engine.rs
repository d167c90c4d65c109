//! Groups engine and engine_disk: what engines hold beside containers, and the disk space that it takes. Engines are asked in
//! the background, and only while somebody asks for these groups: some of the questions are slow for them.

use metric_schema::{Attribute, MetricDef, Unit, Values};

use super::{Dimension, Entity, Row, Source, rows};
use crate::Group;

const G: &str = Group::Engine.as_str();
const DISK: &str = Group::EngineDisk.as_str();

/// The values of the label `type` of `engine_objects`.
pub const OBJECTS: &[&str] = &["images", "containers", "volumes", "networks"];
/// The values of the label `type` of `engine_disk_usage_bytes`.
pub const DISK_TYPES: &[&str] = &["images", "containers", "volumes", "build_cache"];
/// The questions that are asked of an engine, by the path of the Engine API.
pub const QUESTIONS: &[&str] = &["info", "images", "volumes", "networks", "system_df"];

/// Images of one engine that are shown, at most: the largest.
pub const IMAGES_MAX: usize = 256;

const SOURCE: Attribute = Attribute::new("source", Values::Capped(16)).otel("container_exporter.source");
const BY_OBJECT: &[Attribute] =
    &[SOURCE, Attribute::new("type", Values::Closed(OBJECTS)).otel("container_exporter.engine.object")];
const BY_DISK: &[Attribute] = &[
    SOURCE,
    Attribute::new("type", Values::Closed(DISK_TYPES)).otel("container_exporter.engine.object"),
    Attribute::new("reclaimable", Values::Closed(&["true", "false"]))
        .otel("container_exporter.engine.reclaimable"),
];
const QUESTION: Attribute =
    Attribute::new("question", Values::Closed(QUESTIONS)).otel("container_exporter.engine.question");
const BY_QUESTION: &[Attribute] = &[SOURCE, QUESTION];
const UNANSWERED: &[Attribute] =
    &[SOURCE, QUESTION, Attribute::new("reason", Values::Capped(16)).otel("container_exporter.reason")];
const BY_IMAGE: &[Attribute] = &[
    SOURCE,
    Attribute::new("image_id", Values::Capped(IMAGES_MAX)).otel("container.image.id"),
    Attribute::new("image", Values::Capped(IMAGES_MAX)).otel("container.image.name"),
    Attribute::new("digest", Values::Capped(IMAGES_MAX)).otel("container.image.repo_digest"),
];

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        DISK_TYPES, ENGINE_ANSWER_AGE, ENGINE_DISK_USAGE, ENGINE_IMAGE_CREATED, ENGINE_IMAGE_SIZE,
        ENGINE_OBJECTS, ENGINE_UNANSWERED, IMAGES_MAX, OBJECTS, QUESTIONS,
    };
}

const fn row(group: Group, def: MetricDef, dimension: Dimension) -> Row {
    Row::new(group, Entity::Exporter, def, Source::CollectorTable(dimension))
}

rows! { super::gpu_host::END;
    ENGINE_OBJECTS = row(Group::Engine,
        MetricDef::up_down("engine.objects", Unit::Count("{object}"), G,
            "Images, containers, volumes and networks that the engine holds, whoever uses them.").by(BY_OBJECT),
        Dimension::EngineObject);
    ENGINE_IMAGE_SIZE = row(Group::Engine,
        MetricDef::up_down("engine.image.size", Unit::Bytes, G,
            "Size of an image with all its layers, those shared with other images included; image_id is as on container_info.").by(BY_IMAGE),
        Dimension::Image);
    ENGINE_IMAGE_CREATED = row(Group::Engine,
        MetricDef::gauge("engine.image.created_time", Unit::UnixSeconds, G, "When the image was built, Unix time.").by(BY_IMAGE),
        Dimension::Image);
    ENGINE_ANSWER_AGE = row(Group::Engine,
        MetricDef::gauge("engine.answer_age", Unit::Seconds, G,
            "Time since the engine answered the question whose answer is shown; it is asked in the background.").by(BY_QUESTION),
        Dimension::EngineAnswer);
    ENGINE_UNANSWERED = row(Group::Engine,
        MetricDef::gauge("engine.unanswered", Unit::One, G,
            "1 for a question that the engine, or a proxy before it, did not answer the last time, with the reason.").by(UNANSWERED),
        Dimension::EngineAnswer);
    ENGINE_DISK_USAGE = row(Group::EngineDisk,
        MetricDef::up_down("engine.disk.usage", Unit::Bytes, DISK,
            "Disk space that the engine says it uses; reclaimable is what its prune could free, before API 1.52 also layers that unused images share with others. The sum of both is all.").by(BY_DISK),
        Dimension::EngineDisk);
}
