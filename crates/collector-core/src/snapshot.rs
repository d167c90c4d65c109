//! An immutable picture of all containers: what the collector makes and every sink reads.

use std::{sync::Arc, time::SystemTime};

use crate::{Container, ContainerId, Groups, Sample};

/// One container in a [`Snapshot`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ContainerSample {
    /// Who it is.
    pub container: Arc<Container>,
    /// What is known of it.
    pub sample: Arc<Sample>,
    /// When this process first saw it: the birth of what is counted while we watch.
    pub first_seen: SystemTime,
    /// Groups of which it has no series, because with it there were more than their budget allows: what is known of them is
    /// for people and programs that ask for this container, not for pages and exports.
    pub left_out: Groups,
}

impl ContainerSample {
    /// Of which nothing is left out.
    #[must_use]
    pub fn new(
        container: impl Into<Arc<Container>>,
        sample: impl Into<Arc<Sample>>,
        first_seen: SystemTime,
    ) -> Self {
        Self { container: container.into(), sample: sample.into(), first_seen, left_out: Groups::NONE }
    }
}

/// Everything, at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// When its collection began.
    pub taken_at: SystemTime,
    /// When the collector started: the birth of host-wide counters.
    pub watched_since: SystemTime,
    /// Which groups were collected.
    pub groups: Groups,
    /// Containers, sorted by id.
    pub containers: Vec<ContainerSample>,
    /// Rows of the entity host.
    pub host: Sample,
    /// The root cgroup (`id="/"`) as if it were a container, where the sampler can tell.
    pub root: Option<Arc<Sample>>,
    /// Rows of the entity exporter.
    pub exporter: Sample,
}

impl Snapshot {
    /// A snapshot of nothing, for tests and for sinks' own tests.
    #[must_use]
    pub fn empty(taken_at: SystemTime) -> Self {
        let absent = Sample::absent(crate::Absence::NotCollected);
        Self {
            taken_at,
            watched_since: taken_at,
            groups: Groups::all(),
            containers: Vec::new(),
            host: absent.clone(),
            root: None,
            exporter: absent,
        }
    }

    /// The container of that id.
    #[must_use]
    pub fn container(&self, id: &ContainerId) -> Option<&ContainerSample> {
        self.containers
            .binary_search_by(|other| other.container.id.cmp(id))
            .ok()
            .map(|at| &self.containers[at])
    }
}
