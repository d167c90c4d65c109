//! The container model, the metric catalogue, CPU-delta math and the collector.
//!
//! Four ideas, each in one place:
//!
//! - a [`Container`] is what an engine says of it: identity, state, limits;
//! - the [`catalogue`] says what each number means and which kernel file holds it;
//! - a [`Sample`] is one reading of all of a container's rows, and a [`Snapshot`] is all samples of one moment;
//! - an [`Inventory`] tells who the containers are, a [`Sampler`] how much they use, and the `Collector` joins
//!   them when somebody asks: no polling of its own, no history, no timestamps.
//!
//! The math is of use without the rest, and then needs neither tokio nor Linux:
//!
//! ```
//! use collector_core::effective::{Limit, effective_memory_bytes, percent_of_limit, working_set};
//!
//! // No limit of its own, in a pod of 64 MiB, on a host of 8 GiB: the pod's limit binds.
//! let limit = effective_memory_bytes(Limit::Max, [Limit::Value(64 << 20)], Some(8 << 30));
//! assert_eq!(percent_of_limit(working_set(40 << 20, 8 << 20), limit), Some(50.0));
//! ```
//!
//! And the catalogue says of each metric where the kernel keeps it:
//!
//! ```
//! use collector_core::catalogue::{self, Source, ids};
//!
//! let row = catalogue::get().row(ids::MEMORY_USAGE);
//! assert_eq!(row.def.prometheus_name(), "container_memory_usage_bytes");
//! let Source::Key(key) = row.source else { panic!("a word of a kernel file") };
//! assert_eq!(key.v2.map(|at| at.place.file()), Some("memory.current"));
//! ```
//!
//! # Why this shape
//!
//! - **What cannot be known is absent, never 0.** A [`Reading`] is a [`Value`], the kernel's `max`, or [`Absence`] with one of
//!   a closed list of reasons, which are counted by group and shown.
//! - **Identity and numbers come from different places.** An engine is asked when something changes, the kernel when somebody
//!   looks; so nothing is asked of an engine for a page.
//! - **One container never hurts another.** Each is read on its own, with a deadline; one that hangs keeps one thread.
//! - **Sinks read snapshots only.** A snapshot does not change, so any number of them can be written from one collection.
//!
//! # Features
//!
//! - `collector` (default): the `Collector` and the traits of its sources, on tokio.
//! - `kernel`: `KernelSampler`, which reads cgroups and `/proc`, and `MountedSampler`, which outlives their mounts. Linux only.

#[cfg(all(feature = "kernel", not(target_os = "linux")))]
compile_error!(
    "collector-core's feature `kernel` reads Linux cgroups: build it for Linux, or without the feature"
);

mod accelerators;
pub mod catalogue;
#[cfg(feature = "collector")]
mod collector;
pub mod cpu;
pub mod effective;
mod group;
#[cfg(all(feature = "kernel", target_os = "linux"))]
mod kernel;
pub mod labels;
mod model;
mod sample;
pub mod select;
mod snapshot;
mod source;

pub use accelerators::{Accelerator, AcceleratorProcess, AcceleratorUse, Accelerators, EngineTime};
#[cfg(feature = "collector")]
pub use collector::{Additions, Collector, Options, OwnMetrics, Request, SourceReport};
pub use group::{Group, Groups};
#[cfg(all(feature = "fuzzing", feature = "kernel", target_os = "linux"))]
#[doc(hidden)]
pub use kernel::fuzzing;
#[cfg(all(feature = "kernel", target_os = "linux"))]
pub use kernel::{KernelError, KernelOptions, KernelSampler, MountedSampler};
pub use model::{Container, ContainerId, Engine, Health, Limits, Mount, Network, State};
pub use sample::{Absence, Entry, Reading, Sample, Table, Value};
pub use snapshot::{ContainerSample, Snapshot};
pub use source::{
    BoxFuture, COUNTED, Change, Closed, EngineInfo, Gone, OnSignal, OnTree, Probe, Sampler, Signal,
    SourceCounters, SourceStatus, TreeChange,
};
#[cfg(feature = "collector")]
pub use source::{Changes, Hearing, Inventory};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
