//! An HTTP/1.1 server for any Prometheus exporter: it moves bytes within limits and knows no metric.
//!
//! ```
//! use exporter_toolkit::{Body, Response, Route, Server};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder()
//!     .route(Route::get("/metrics", async |_| Response::new(Body::full("up 1\n"))).expensive())
//!     .get("/livez", async |_| Response::text("alive\n"))
//!     .bind("127.0.0.1:0".parse()?)?;
//! println!("listening on http://{}/metrics", server.local_addr());
//!
//! // A program waits for a signal here; this one has seen enough.
//! let counted = server.serve(async {}).await?;
//! assert_eq!(counted.connections_open, 0);
//! # Ok(())
//! # }
//! ```
//!
//! The types, in the order in which a request meets them: [`Server`] accepts within its [`Limits`]; a [`Route`] hands
//! a [`Request`] to its handler; the [`Response`] carries a [`Body`]; what was refused is in [`Stats`].
//!
//! # Why this shape
//!
//! - An exporter's answer can be a thousand times larger than the question, so what has to be bounded is the answer:
//!   a [`Body::Chunks`] is made one piece at a time as the peer reads, and a peer that does not read is cut off.
//! - An exporter must not become the load that it measures: only so many [expensive](Route::expensive) requests run
//!   at one time, the others are told to come back at once instead of waiting in line.
//! - Every bound has a default and a counter. Nothing is refused silently.
//! - It runs on a single-threaded runtime: handlers wait, they do not block, and long bodies let others run between
//!   their pieces.
//!
//! With the feature `registry`, `serve_registry` serves a registry of the `prometheus` crate beside what a service
//! answers otherwise, and `Route::registry` is the route of one.
//!
//! # What is deliberately absent
//!
//! Request bodies (read and thrown away), methods other than GET and HEAD, HTTP/2, patterns in paths, middleware.

mod body;
mod clock;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gzip;
mod limits;
#[cfg(feature = "registry")]
mod registry;
mod request;
mod response;
mod room;
mod route;
mod server;
mod service;
mod socket;
mod stats;

pub use error::{BindError, BindErrorKind, ServeError};
pub use gzip::Compression;
pub use limits::Limits;
#[cfg(feature = "registry")]
pub use registry::{Background, serve_registry};
pub use request::{Headers, Method, Query, Request};
pub use response::{Body, Response, Status};
pub use route::Route;
pub use server::{Builder, Server};
pub use stats::{Refusal, RouteStats, Stats, StatsSnapshot};
