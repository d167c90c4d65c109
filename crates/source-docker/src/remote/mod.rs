//! Numbers from the engine itself, where the kernel that counts them is out of reach: engines on other machines, and
//! sandboxed runtimes.
//!
//! Asking an engine for the numbers of one container costs it milliseconds of CPU and takes up to two seconds. So nobody
//! who wants a page waits for it: a task of each engine's own asks in the background, the oldest numbers first and never
//! more than [`REQUESTS_MAX`] at a time, and a probe only copies what came last.
//!
//! `body` reads an answer of any engine generation, `fill` gives its fields the meaning of the catalogue's rows, `poller`
//! asks, `inventory` tells it which containers there are, `sampler` gives the collector what was polled; `ask` looks once, for people.

mod ask;
pub(crate) mod body;
pub(crate) mod fill;
mod inventory;
mod poller;
mod sampler;
pub(crate) mod transport;

pub use ask::{Answered, AskError};
pub use inventory::{Polled, StatsInventory, StatsOptions};
pub use sampler::StatsSampler;

/// Requests for numbers that one engine has open at a time.
pub(crate) const REQUESTS_MAX: usize = 4;
