//! Snapshots as OTLP: a stream of encoded `ExportMetricsServiceRequest`s, one Resource for each container.
//!
//! ```
//! use std::{sync::Arc, time::SystemTime};
//!
//! use collector_core::{Absence, Container, ContainerId, ContainerSample, Engine, Reading, Sample, Snapshot, State};
//! use collector_core::catalogue::ids;
//! use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
//! use prost::Message as _;
//! use sink_otlp::{Options, OtlpSink};
//!
//! let mut container = Container::new(ContainerId::new("web1"), Engine::Docker, State::Running);
//! container.image = Some("nginx:1.29".into());
//! let mut sample = Sample::absent(Absence::NotCollected);
//! sample.set(ids::MEMORY_USAGE, Reading::int(4096));
//! let mut snapshot = Snapshot::empty(SystemTime::now());
//! snapshot.containers.push(ContainerSample::new(container, sample, SystemTime::now()));
//!
//! let mut sink = OtlpSink::new(Options::default());
//! let batches: Vec<_> = sink.export(Arc::new(snapshot)).collect(); // send each when it is made
//! let request = ExportMetricsServiceRequest::decode(batches[0].body.clone())?;
//! let attributes = &request.resource_metrics[0].resource.as_ref().unwrap().attributes;
//! let keys: Vec<_> = attributes.iter().map(|attribute| &*attribute.key).collect();
//! assert_eq!(
//!     keys,
//!     ["container.id", "container.image.name", "container.image.tags", "container.runtime.name"]
//! );
//! # Ok::<(), prost::DecodeError>(())
//! ```
//!
//! # The parts
//!
//! - [`OtlpSink`] is made once from [`Options`] and keeps what containers have in common from export to export.
//! - [`Batches`] is one export: an iterator of [`Batch`]es, each an encoded request. It has no transport: whoever sends them
//!   pulls the next when the last has gone, so one request is held, whatever the number of containers.
//! - [`Names`] and [`Identity`] say how metrics are called, and where a container's identity stands.
//!
//! # What an export holds
//!
//! The rows of the catalogue, each as the metric that its OpenTelemetry side names: counters as cumulative monotonic sums,
//! what may be added up over containers as sums that rise and fall, the rest as gauges. The start time of a sum is the start
//! of the container's current run, so that a restart sets value and start back together; of what is counted while this
//! process watches, its own first sight. Where nobody knows it, there is none.
//!
//! A series that the last export held and this one does not ends with a point of the flag `NoRecordedValue`: a container
//! that is gone or stopped, a device that is no longer there, a limit that was lifted.
//!
//! | [`Identity`] | Resource | attributes of each point |
//! |---|---|---|
//! | `Resource` | the container's | what tells the points of the metric apart |
//! | `DataPoint` | the exporter's | the same and the container's id, name and image |
//! | `Both` | the container's | the same as `DataPoint` |
//!
//! Metrics of the host and of the exporter always stand under the exporter's Resource.
//!
//! # Why this shape
//!
//! The SDK has one Resource for each provider and cannot build another; through `opentelemetry-proto`'s structs ten thousand
//! containers cost ten times what the bytes cost. So the bytes are written: what a container's Resource and a metric's head
//! look like is kept encoded, and a point is forty bytes behind them. That they mean what the structs would is a property
//! test, which encodes generated snapshots both ways.

mod batch;
mod export;
mod identity;
mod plan;
mod series;
mod wire;

use std::{collections::HashMap, sync::Arc};

use collector_core::{ContainerId, Groups, Snapshot};

pub use batch::Batch;
pub use export::Batches;

use batch::field;
use export::Member;
use identity::Versions;
use plan::Plan;
use series::Series;

/// The semantic conventions that the names are of.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// Where a container's identity stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Identity {
    /// On its Resource, as the semantic conventions have it.
    #[default]
    Resource,
    /// On each point: for back ends that drop what a Resource says, such as Prometheus before 2.55.
    DataPoint,
    /// On both.
    Both,
}

/// How metrics and their attributes are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Names {
    /// By the semantic conventions, and in their style.
    #[default]
    Semconv,
    /// As on the page: a receiver that makes Prometheus names leaves them as they are.
    Prometheus,
}

/// What an attribute of a Resource says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// A text; an empty one is left out.
    Text(String),
    /// A number, such as that of a process.
    Int(i64),
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for AttributeValue {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// How exports are made. Start from [`Options::default`] and change fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Where a container's identity stands.
    pub identity: Identity,
    /// How metrics are called.
    pub names: Names,
    /// The groups that leave.
    pub groups: Groups,
    /// The attributes of the exporter's own Resource, such as `service.name`; of a key that comes twice the first counts.
    pub resource: Vec<(String, AttributeValue)>,
    /// Attributes of every container's Resource besides its own, such as `host.name`.
    pub container_resource: Vec<(String, AttributeValue)>,
    /// The most labels of one container that become attributes.
    pub labels_max: usize,
    /// The longest value of such a label, in bytes; longer ones are cut.
    pub label_value_bytes_max: usize,
    /// The largest request, in bytes before compression.
    pub batch_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            names: Names::default(),
            groups: Groups::standard(),
            resource: Vec::new(),
            container_resource: Vec::new(),
            labels_max: 32,
            label_value_bytes_max: 256,
            // What common receivers take is 4 MiB.
            batch_bytes_max: 3_800_000,
        }
    }
}

/// Makes exports.
#[derive(Debug)]
pub struct OtlpSink {
    options: Options,
    plan: Plan,
    versions: Versions,
    own_resource: Box<[u8]>,
    /// The series of the host and of the exporter that the last export held.
    own_series: [Series; 2],
    members: HashMap<ContainerId, Member>,
    /// The number of the export at hand.
    export: u64,
    /// How many bytes the last export took.
    bytes: usize,
    schema: Vec<u8>,
    scope: Vec<u8>,
    refused: u64,
}

impl OtlpSink {
    /// A sink; it prepares what all exports have in common.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let (mut schema, mut scope, mut name) = (Vec::new(), Vec::new(), Vec::new());
        wire::bytes(&mut name, field::SCOPE_NAME, env!("CARGO_PKG_NAME").as_bytes());
        wire::bytes(&mut name, field::SCOPE_VERSION, env!("CARGO_PKG_VERSION").as_bytes());
        wire::bytes(&mut scope, field::SCOPE, &name);
        if options.names == Names::Semconv {
            wire::bytes(&mut schema, field::SCHEMA_URL, SCHEMA_URL.as_bytes());
            scope.extend_from_slice(&schema);
        }
        Self {
            plan: Plan::new(options.names, options.groups),
            own_resource: identity::own(&options),
            options,
            versions: Versions::default(),
            own_series: Default::default(),
            members: HashMap::new(),
            export: 0,
            bytes: 0,
            schema,
            scope,
            refused: 0,
        }
    }

    /// Begins an export of a snapshot.
    pub fn export(&mut self, snapshot: Arc<Snapshot>) -> Batches<'_> {
        Batches::new(self, snapshot)
    }

    /// How many container labels the last export left out or cut: too many, too long, or without a usable key.
    #[must_use]
    pub fn labels_dropped(&self) -> u64 {
        self.members.values().map(|member| member.labels_dropped).sum()
    }

    /// How many points all exports so far refused: entries of a table that show what another one shows or stand above the
    /// most of a table, a point larger than a whole request. A container whose id another one has counts as one.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
