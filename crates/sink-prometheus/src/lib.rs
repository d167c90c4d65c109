//! Snapshots as Prometheus pages: (snapshot, Accept, query) to a head and an iterator of chunks.
//!
//! ```
//! use std::{sync::Arc, time::SystemTime};
//!
//! use collector_core::{Container, ContainerId, ContainerSample, Engine, Reading, Sample, Snapshot, State};
//! use collector_core::{Absence, catalogue::ids};
//! use sink_prometheus::{Options, PageRequest, PrometheusSink};
//!
//! let mut container = Container::new(ContainerId::new("web1"), Engine::Docker, State::Running);
//! container.name = Some("web".into());
//! let mut sample = Sample::absent(Absence::NotCollected);
//! sample.set(ids::MEMORY_USAGE, Reading::int(4096));
//! let mut snapshot = Snapshot::empty(SystemTime::now());
//! snapshot.containers.push(ContainerSample::new(container, sample, SystemTime::now()));
//!
//! let sink = PrometheusSink::new(Options::default());
//! let query = [("collect[]".to_owned(), "memory".to_owned())];
//! let page = sink.page(&Arc::new(snapshot), &PageRequest { accept: None, query: &query })?;
//! assert_eq!(page.content_type, "text/plain; version=0.0.4; charset=utf-8");
//! assert_eq!(
//!     String::from_utf8(page.chunks.flatten().collect())?,
//!     "# HELP container_memory_usage_bytes Memory in use, page cache and kernel memory included.\n\
//!      ## TYPE container_memory_usage_bytes gauge\n\
//!      container_memory_usage_bytes{container_id=\"web1\",container_name=\"web\"} 4096\n"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The parts
//!
//! - [`PrometheusSink`] is made once from [`Options`]; [`groups`](PrometheusSink::groups) says what a request needs
//!   collected, [`page`](PrometheusSink::page) makes its [`Page`].
//! - [`Profile`]: whose names and labels the page speaks.
//! - [`Chunks`]: writes the page while it is read.
//!
//! # What a page holds
//!
//! The rows of the catalogue in their order, a family once, for each container (in the order of their ids) the series
//! that have a value: what is absent has none, and nor has a limit that is not set. Containers without processes have
//! the series of the group `state` only.
//!
//! | profile | labels of a container's series |
//! |---|---|
//! | `native` | `container_id` (short), `container_name`, `image`, and those of [`Options::on_series`] |
//! | `cadvisor` | `id` (the cgroup's path), `name`, `image`, and each container label as `container_label_*` |
//!
//! A label whose value is not known or empty is left out, which is the same to Prometheus. Where no cgroup path is
//! known (a container that has not run since this process started), `id` is `/<engine>/<full id>`.
//!
//! Under `cadvisor`, rows of containers stand under cAdvisor's names, and the root cgroup is there as `id="/"`; a
//! stopped container has no series in those names. What cAdvisor has no name for stays under ours: the host's and the
//! exporter's rows, and a container's state, exit code and restarts.
//!
//! # Why this shape
//!
//! No HTTP here: a handler of any server asks for `groups`, gets a snapshot from the collector, and sends the chunks.
//! Of a page nothing is held but the chunk at hand, whatever the number of containers; the escaped labels of the
//! containers are kept from page to page, because making them costs more than writing all the series.
//!
//! Nothing that engines or strangers say takes a page down: labels go through the label policy, two containers with
//! the same identity or two devices of the same name are refused but for the first, and counted in
//! [`refused`](PrometheusSink::refused).

mod ahead;
mod page;
mod plan;
mod profile;
mod query;
mod roster;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use collector_core::{Groups, Snapshot, labels::LabelPolicy};
use exposition::Encoder;

pub use page::Chunks;
pub use profile::Profile;
pub use query::{QueryError, Wanted};

use page::Parts;
use plan::Plan;
use query::Query;
use roster::Roster;

/// How long the label blocks of a profile are kept that nobody asks for.
const ROSTER_IDLE: Duration = Duration::from_secs(600);

/// Writes families that are not in the catalogue, such as those of a process registry, at the end of a page that has
/// the group `exporter`. It asks [`Wanted`] before each.
pub type Extra = Arc<dyn Fn(&mut Encoder, &Wanted) + Send + Sync>;

/// How pages are made. Start from [`Options::default`] and change fields.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// The profile of requests that name none.
    pub profile: Profile,
    /// The groups of requests that name none.
    pub groups: Groups,
    /// The groups that nobody gets.
    pub off: Groups,
    /// The keys of the container labels that stand on all series of the native profile.
    pub on_series: Vec<String>,
    /// What becomes of those labels; its `max_value_bytes` bounds the labels of `container_info` too.
    pub native_labels: LabelPolicy,
    /// What becomes of a container's labels in the cadvisor profile.
    pub cadvisor_labels: LabelPolicy,
    /// Families besides.
    pub extra: Option<Extra>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            profile: Profile::Native,
            groups: Groups::standard(),
            off: Groups::NONE,
            on_series: Vec::new(),
            native_labels: LabelPolicy::native(),
            cadvisor_labels: LabelPolicy::cadvisor(),
            extra: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("profile", &self.profile)
            .field("groups", &self.groups)
            .field("off", &self.off)
            .field("on_series", &self.on_series)
            .finish_non_exhaustive()
    }
}

/// What a scraper sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct PageRequest<'a> {
    /// The header `Accept`; several are joined by commas.
    pub accept: Option<&'a str>,
    /// The query's pairs, decoded: `profile`, `collect[]`, `name[]`; others are passed over.
    pub query: &'a [(String, String)],
}

/// The answer to a scrape.
#[derive(Debug)]
#[non_exhaustive]
pub struct Page {
    /// The header `Content-Type`, without which Prometheus 3 refuses a page.
    pub content_type: &'static str,
    /// The body.
    pub chunks: Chunks,
}

/// Makes pages.
#[derive(Debug)]
pub struct PrometheusSink {
    options: Options,
    plans: [Arc<Plan>; Profile::ALL.len()],
    /// The label blocks of the last page of each profile.
    rosters: Mutex<[Option<Arc<Roster>>; Profile::ALL.len()]>,
    labels_dropped: AtomicU64,
    refused: Arc<AtomicU64>,
}

impl PrometheusSink {
    /// A sink; it prepares what all pages have in common.
    #[must_use]
    pub fn new(mut options: Options) -> Self {
        // What a row puts behind the identity no label of a stranger may take.
        let reserve = |policy: LabelPolicy, profile| policy.with_reserved(Plan::label_names(profile));
        options.native_labels = reserve(options.native_labels, Profile::Native);
        options.cadvisor_labels = reserve(options.cadvisor_labels, Profile::Cadvisor);
        Self {
            options,
            plans: Profile::ALL.map(|profile| Arc::new(Plan::new(profile))),
            rosters: Mutex::default(),
            labels_dropped: AtomicU64::new(0),
            refused: Arc::default(),
        }
    }

    /// The groups that a request needs collected.
    ///
    /// # Errors
    ///
    /// The query asks for a profile or group that there is not, or for a group that is switched off.
    pub fn groups(&self, query: &[(String, String)]) -> Result<Groups, QueryError> {
        let query = Query::parse(query, &self.options)?;
        Ok(query.groups(self.plan(query.profile)))
    }

    /// Whether a request's page shows the root cgroup, so that it is worth collecting.
    ///
    /// # Errors
    ///
    /// As [`groups`](Self::groups).
    pub fn shows_root(&self, query: &[(String, String)]) -> Result<bool, QueryError> {
        Ok(Query::parse(query, &self.options)?.profile == Profile::Cadvisor)
    }

    /// Makes a page of a snapshot. The body is written while it is read.
    ///
    /// # Errors
    ///
    /// As [`groups`](Self::groups).
    pub fn page(&self, snapshot: &Arc<Snapshot>, request: &PageRequest<'_>) -> Result<Page, QueryError> {
        let query = Query::parse(request.query, &self.options)?;
        let plan = self.plan(query.profile);
        let answer = exposition::negotiate(request.accept);
        let parts = Parts {
            plan: Arc::clone(plan),
            snapshot: Arc::clone(snapshot),
            roster: self.roster(snapshot, plan),
            families: query.families(plan),
            groups: query.groups,
            extra: self.options.extra.clone(),
            wanted: query.wanted,
            refused: Arc::clone(&self.refused),
        };
        Ok(Page { content_type: answer.content_type(), chunks: Chunks::new(parts, answer.format) })
    }

    /// How many container labels the last page left out or cut: too many, too long, or of a name already taken. The
    /// page has it as `container_exporter_labels_dropped` unless the snapshot holds that row itself.
    #[must_use]
    pub fn labels_dropped(&self) -> u64 {
        self.labels_dropped.load(Ordering::Relaxed)
    }

    /// How many series all pages so far refused because they would have taken the page down, or stood above the
    /// most entries of a table. A container whose identity another one has counts as one.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn plan(&self, profile: Profile) -> &Arc<Plan> {
        &self.plans[profile as usize]
    }

    /// The label blocks for a snapshot, with what the last page has made.
    fn roster(&self, snapshot: &Snapshot, plan: &Plan) -> Arc<Roster> {
        let place = plan.profile as usize;
        // Not held while blocks are made: two pages at once may make the same, which costs less than waiting.
        let before = self.rosters.lock().unwrap_or_else(PoisonError::into_inner)[place].clone();
        let roster = Arc::new(Roster::of(snapshot, plan, &self.options, before.as_deref()));
        self.labels_dropped.store(roster.labels_dropped, Ordering::Relaxed);
        self.refused.fetch_add(roster.duplicates, Ordering::Relaxed);
        let mut rosters = self.rosters.lock().unwrap_or_else(PoisonError::into_inner);
        for idle in rosters.iter_mut() {
            let age = |kept: &Arc<Roster>| snapshot.taken_at.duration_since(kept.used_at).unwrap_or_default();
            if idle.as_ref().is_some_and(|kept| age(kept) > ROSTER_IDLE) {
                *idle = None;
            }
        }
        rosters[place] = Some(Arc::clone(&roster));
        roster
    }
}

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
