//! An immutable picture of all containers: what the collector makes and every sink reads.

use std::{sync::Arc, time::SystemTime};

use crate::{Container, ContainerId, Groups, Sample};

/// One container in a [`Snapshot`].
#[derive(Debug, Clone)]
pub struct ContainerSample {
    /// Who it is.
    pub container: Arc<Container>,
    /// What is known of it.
    pub sample: Arc<Sample>,
    /// When this process first saw it: the birth of what is counted while we watch.
    pub first_seen: SystemTime,
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
