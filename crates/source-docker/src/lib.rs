//! Who the containers are: an inventory of a Docker-compatible engine that follows its events and never dies.
//!
//! ```no_run
//! use std::{path::Path, sync::Arc};
//!
//! use collector_core::{Changes, Inventory};
//! use source_docker::{DockerInventory, Options, discover};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! for candidate in discover(&|name| std::env::var(name).ok(), Path::new("/")) {
//!     println!("{}: {:?}", candidate.name, candidate.endpoint);
//! }
//! let inventory = Arc::new(DockerInventory::new(Options::default()));
//! let (changes, mut received) = Changes::channel(64);
//! tokio::spawn(inventory.clone().run(changes));
//! while let Some((_, change)) = received.recv().await {
//!     println!("{change:?}");
//! }
//! # }
//! ```
//!
//! [`DockerInventory`] subscribes to the engine's events, lists, and inspects a container once per change of its
//! life; while nothing happens it sends no request but a `/_ping` ([`Options::ping_interval`]) and a rare list
//! ([`Options::list_interval`]). Numbers are none of its business: they are the kernel's.
//!
//! Inside, `table` joins events, lists and inspects without any I/O; `session` moves bytes from one connection to
//! it; `inventory` makes one session after the other. `read`, `event`, `json`, `framing` and `clock` read what
//! engines write, and take anything.

mod advice;
mod client;
mod clock;
mod endpoint;
mod event;
mod framing;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod holdings;
mod inventory;
mod json;
mod options;
mod read;
mod remote;
mod rootless;
mod session;
mod store;
mod table;

pub use endpoint::{Candidate, Endpoint, EndpointError, EndpointErrorKind, TlsFiles, discover};
pub use inventory::DockerInventory;
pub use options::Options;
pub use remote::{Answered, AskError, Polled, StatsInventory, StatsOptions, StatsSampler};
pub use rootless::{UserEngines, UsersNow};
pub use store::PodmanStore;
