//! Group pids: `pids.*`.

use cgroup_reader::{At, Controller::Pids, Scale, SourceKey};
use metric_schema::{Alias, Conversion, MetricDef, OtelMetric, Unit};

use super::{Row, Source, cpu::cadvisor, rows};
use crate::{Group, Reading};

const G: &str = Group::Pids.as_str();

/// The constants of this file.
pub(super) mod ids {
    pub use super::{THREADS, THREADS_LIMIT_OWN, THREADS_MAX};
}

rows! { super::network::END;
    THREADS = Row::container(Group::Pids,
        MetricDef::up_down("container.threads", Unit::Count("{thread}"), G, "Threads and processes, as pids.current counts them.")
            .aliased(cadvisor!("container_threads")),
        Source::Key(SourceKey::same(At::whole(Pids, "pids.current", Scale::One))));
    THREADS_LIMIT_OWN = Row::input(Group::Pids,
        MetricDef::up_down("container.own_threads_max", Unit::Count("{thread}"), G, "The kernel's own limit."),
        Source::Key(SourceKey::same(At::whole(Pids, "pids.max", Scale::One))));
    THREADS_MAX = Row::container(Group::Pids,
        MetricDef::up_down("container.threads_max", Unit::Count("{thread}"), G, "Limit of threads and processes; 0 is none.")
            .otel(OtelMetric::up_down("container.threads_max", Unit::Count("{thread}")).converted(Conversion::UnlessZero))
            .aliased(cadvisor!("container_threads_max")),
        Source::Derived(|inputs| match inputs.sample.get(THREADS_LIMIT_OWN) {
            Reading::Max => Reading::int(0),
            other => other,
        }));
}
