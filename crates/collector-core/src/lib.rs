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
//! Without the default feature `collector` the crate is the model and the math alone:
//!
//! ```
//! use collector_core::effective;
//!
//! assert_eq!(effective::working_set(300, 100), 200);
//! ```
//!
//! # Features
//!
//! - `collector` (default): the `Collector` and the traits of its sources, on tokio.
//! - `kernel`: the sampler that reads cgroups and /proc. Linux only.

#[cfg(all(feature = "kernel", not(target_os = "linux")))]
compile_error!(
    "collector-core's feature `kernel` reads Linux cgroups: build it for Linux, or without the feature"
);

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

#[cfg(feature = "collector")]
pub use collector::{Collector, Options, OwnMetrics, Request, SourceReport};
pub use group::{Group, Groups};
#[cfg(all(feature = "kernel", target_os = "linux"))]
pub use kernel::{KernelError, KernelOptions, KernelSampler};
pub use model::{Container, ContainerId, Engine, Health, Limits, Network, State};
pub use sample::{Absence, Entry, Reading, Sample, Table, Value};
pub use snapshot::{ContainerSample, Snapshot};
pub use source::{
    BoxFuture, Change, Closed, EngineInfo, Gone, OnSignal, OnTree, Probe, Sampler, Signal, SourceCounters,
    SourceStatus, TreeChange,
};
#[cfg(feature = "collector")]
pub use source::{Changes, Inventory};
