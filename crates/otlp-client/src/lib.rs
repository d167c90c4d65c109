//! Delivers encoded OTLP requests of metrics and traces, by gRPC or HTTP: it moves bytes within limits and knows no metric.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use otlp_client::{Client, Payload, Values};
//!
//! # async fn run(encoded: bytes::Bytes) -> Result<(), Box<dyn std::error::Error>> {
//! let (values, problems) = Values::from_env(&|name| std::env::var_os(name));
//! for problem in problems {
//!     eprintln!("{problem}");
//! }
//! let client = Client::start(values.resolve_or_local()?)?;
//! client.submit(Payload { body: encoded, points: 40 });
//! let undelivered = client.shutdown(Duration::from_secs(5)).await;
//! println!("{} points were not delivered", undelivered.points);
//! # Ok(())
//! # }
//! ```
//!
//! The types, in the order in which they meet a request: [`Values`] are what variables and files say, [`Settings`] what
//! follows; a [`Client`] takes a [`Payload`] and sends it; [`Stats`] say what became of its points. A [`Courier`] is
//! for those that have a queue of their own, such as the span processors of an SDK, and wait for the outcome.
//!
//! # Why this shape
//!
//! - Nobody waits for a receiver: [`Client::submit`] puts a payload into a queue with a bound in bytes, whose oldest
//!   make room. One task sends, one payload at a time: receivers that are slow get no second request.
//! - The time of a payload begins with its first attempt and holds for all of them. A receiver that asks for more
//!   time than is left has it: that payload is dropped, and those that wait keep waiting.
//! - Every data point that was submitted is counted once: exported, or failed by one of a closed list of
//!   [reasons](DropReason).
//! - The log has one line when something goes wrong, with what to do, and one when it is right again.
//!
//! # What is deliberately absent
//!
//! Logs, JSON, proxies (`HTTP_PROXY`), a queue on disk, several receivers, and parallel requests.

mod advice;
mod answer;
mod client;
mod courier;
mod endpoint;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod health;
mod link;
mod queue;
mod request;
mod resolve;
mod sender;
mod settings;
mod stats;
mod wire;

pub use client::Client;
pub use courier::Courier;
pub use endpoint::Endpoint;
pub use error::{SettingsError, SettingsErrorKind};
pub use headers::{Headers, HeadersError};
pub use queue::{PAYLOAD_BYTES_MAX, Payload, Undelivered};
pub use resolve::{Said, Values};
pub use settings::{ClientCertificate, Compression, Protocol, Settings, Signal, Tls};
pub use stats::{DropReason, Stats, StatsSnapshot};

#[cfg(test)]
mod tests;
