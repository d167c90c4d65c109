//! What one server gives away at most: connections, bytes, parallel work and time.

use std::time::Duration;

/// The bounds of a server. Every field has a default that suits an exporter scraped by a few Prometheus servers.
///
/// What is refused because of a bound is counted in [`Stats`](crate::Stats) under its [`Refusal`](crate::Refusal).
///
/// ```
/// let mut limits = exporter_toolkit::Limits::default();
/// limits.scrapes = 2;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Open connections. The next ones are answered 503 and closed. Default 128.
    pub connections: usize,
    /// Requests to [expensive](crate::Route::expensive) routes in progress, from the call of the handler to the last
    /// byte handed to the socket. The next ones are answered 503 with `Retry-After`. Default 8.
    pub scrapes: usize,
    /// Bytes of a request's line and headers together; more is 431. Default 16 KiB, the least is 8 KiB.
    pub header_bytes: usize,
    /// Time from a connection's opening, or from a later request's first byte, until the request has been read
    /// whole; then 408. Default 10 s.
    pub header_time: Duration,
    /// Bytes of a request's body, which is read and thrown away; more is 413. Default 8 KiB.
    pub body_bytes: usize,
    /// Bytes of a query string; more is 414. Default 8 KiB.
    pub query_bytes: usize,
    /// Parameters in a query string; more is 400. Default 1,000.
    pub query_pairs: usize,
    /// Time for a handler to return its response (not its body); then it is dropped and the answer is 503. Default
    /// 30 s.
    pub handler_time: Duration,
    /// Time in which a peer must take at least one byte of its response, else the connection is reset. Default 10 s.
    pub write_stall_time: Duration,
    /// Time in which a peer must take a whole response, however steadily it reads; then the connection is reset.
    /// Default 60 s.
    pub response_time: Duration,
    /// Time that a connection may wait for its next request. Longer than the usual scrape intervals, so that a
    /// scraper keeps its connection. Default 150 s.
    pub keep_alive: Duration,
    /// Time given to open requests at shutdown, then their connections are closed. Default 5 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 128,
            scrapes: 8,
            header_bytes: 16 << 10,
            header_time: Duration::from_secs(10),
            body_bytes: 8 << 10,
            query_bytes: 8 << 10,
            query_pairs: 1_000,
            handler_time: Duration::from_secs(30),
            write_stall_time: Duration::from_secs(10),
            response_time: Duration::from_secs(60),
            keep_alive: Duration::from_secs(150),
            drain: Duration::from_secs(5),
        }
    }
}
