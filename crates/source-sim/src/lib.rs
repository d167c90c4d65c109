//! Simulated containers that move plausibly, for trying out and for capacity planning.
//!
//! [`SimInventory`] plays the engine and [`SimSampler`] the kernel. Every number is an exact function of the seed, the
//! container and the time: nothing is stored between samples, 10,000 containers cost no more memory than their
//! descriptions, and with a [`HeldClock`] each page is the same.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use std::{sync::Arc, time::{Duration, UNIX_EPOCH}};
//!
//! use collector_core::{Collector, Groups, Options, Request, catalogue::ids};
//! use source_sim::{HeldClock, SimInventory, SimSampler};
//!
//! let clock = HeldClock::new(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
//! let inventory = SimInventory::new(100, 7).with_clock(clock.clone());
//! let sampler = SimSampler::new(clock, 7);
//! let collector =
//!     Collector::start(Options::default(), vec![Arc::new(inventory)], Arc::new(sampler), Box::new(|_| {}));
//! collector.wait_until(|collector| collector.known().len() == 100).await;
//!
//! let snapshot = collector.collect(Request::new(Groups::all())).await;
//! let running = snapshot.containers.iter().find(|sample| sample.container.state.has_processes()).unwrap();
//! assert!(running.sample.get(ids::CPU_USAGE).value().is_some());
//! # }
//! ```

mod clock;
mod inventory;
mod moment;
mod random;
mod sampler;
mod shapes;
mod world;

pub use clock::{Clock, HeldClock};
pub use inventory::{MAX_CONTAINERS, SimInventory};
pub use sampler::SimSampler;
