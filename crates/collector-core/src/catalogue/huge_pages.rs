//! Group huge_pages: the controller `hugetlb`, by size of page.

use cgroup_reader::{At, Controller::Hugetlb, Scale, SourceKey};
use metric_schema::{Alias, Attribute, MetricDef, Unit, Values};

use super::{Dimension, Row, Source, cpu::cadvisor, rows};
use crate::Group;

const G: &str = Group::HugePages.as_str();
const PAGE_SIZE: &[Attribute] = &[Attribute::new("pagesize", Values::Capped(16))];

/// The constants of this file.
pub(super) mod ids {
    pub use super::{HUGETLB_FAILCNT, HUGETLB_LIMIT, HUGETLB_MAX_USAGE, HUGETLB_RESERVED, HUGETLB_USAGE};
}

const fn whole(file: &'static str) -> At {
    At::whole(Hugetlb, file, Scale::One)
}

const fn both(v1: &'static str, v2: &'static str) -> Source {
    Source::PerFile(Dimension::PageSize, SourceKey::both(whole(v1), whole(v2)))
}

const fn bytes(name: &'static str, help: &'static str) -> MetricDef {
    MetricDef::up_down(name, Unit::Bytes, G, help).by(PAGE_SIZE)
}

rows! { super::io_detail::END;
    HUGETLB_USAGE = Row::container(Group::HugePages,
        bytes("container.hugetlb.usage", "Huge pages of the size in use.").aliased(cadvisor!("container_hugetlb_usage_bytes")),
        both("hugetlb.*.usage_in_bytes", "hugetlb.*.current"));
    HUGETLB_MAX_USAGE = Row::container(Group::HugePages,
        bytes("container.hugetlb.max_usage", "The most huge pages of the size that were ever in use.")
            .aliased(cadvisor!("container_hugetlb_max_usage_bytes")),
        Source::PerFile(Dimension::PageSize, SourceKey::v1(whole("hugetlb.*.max_usage_in_bytes"))));
    HUGETLB_LIMIT = Row::container(Group::HugePages,
        bytes("container.hugetlb.limit", "Huge pages of the size that the container may use; absent without a limit."),
        both("hugetlb.*.limit_in_bytes", "hugetlb.*.max"));
    HUGETLB_RESERVED = Row::container(Group::HugePages,
        bytes("container.hugetlb.reserved", "Huge pages of the size that are reserved, in use or not."),
        both("hugetlb.*.rsvd.usage_in_bytes", "hugetlb.*.rsvd.current"));
    HUGETLB_FAILCNT = Row::container(Group::HugePages,
        MetricDef::counter("container.hugetlb.failcnt", Unit::Count("{hit}"), G, "Times that huge pages of the size hit the limit.")
            .by(PAGE_SIZE)
            .named("container_hugetlb_failcnt", "cAdvisor's name").aliased(cadvisor!("container_hugetlb_failcnt")),
        Source::PerFile(Dimension::PageSize, SourceKey::both(
            whole("hugetlb.*.failcnt"),
            At::key(Hugetlb, "hugetlb.*.events", "max", Scale::One))));
}
