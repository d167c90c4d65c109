//! What a server counts about itself, in plain atomics: whoever exports them gives them their names.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Why a request or a connection was not served. Each refusal is counted once, under the first reason that applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Past [`Limits::connections`](crate::Limits::connections).
    Connections,
    /// Past [`Limits::scrapes`](crate::Limits::scrapes).
    Scrapes,
    /// Past [`Limits::header_bytes`](crate::Limits::header_bytes), or a request target that is too long.
    HeadersTooLarge,
    /// Past [`Limits::header_time`](crate::Limits::header_time).
    HeadersTooSlow,
    /// Not HTTP/1, or HTTP that contradicts itself.
    Malformed,
    /// Past [`Limits::body_bytes`](crate::Limits::body_bytes), or a body that broke off.
    Body,
    /// Past [`Limits::query_bytes`](crate::Limits::query_bytes) or
    /// [`Limits::query_pairs`](crate::Limits::query_pairs), or a query that does not decode.
    Query,
    /// Past [`Limits::handler_time`](crate::Limits::handler_time).
    HandlerTooSlow,
    /// Past [`Limits::write_stall_time`](crate::Limits::write_stall_time) or
    /// [`Limits::response_time`](crate::Limits::response_time).
    SlowReader,
    /// Closed to make room for another: the peer had kept the server waiting for a second at least, and
    /// [`Limits::connections`](crate::Limits::connections) or [`Limits::scrapes`](crate::Limits::scrapes) was reached.
    Displaced,
    /// Still open when [`Limits::drain`](crate::Limits::drain) had passed.
    Drain,
}

impl Refusal {
    /// All reasons, in the order in which snapshots list them.
    pub const ALL: [Self; 11] = [
        Self::Connections,
        Self::Scrapes,
        Self::HeadersTooLarge,
        Self::HeadersTooSlow,
        Self::Malformed,
        Self::Body,
        Self::Query,
        Self::HandlerTooSlow,
        Self::SlowReader,
        Self::Displaced,
        Self::Drain,
    ];

    /// A short stable name, fit for a label value: `headers_too_large`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Scrapes => "scrapes",
            Self::HeadersTooLarge => "headers_too_large",
            Self::HeadersTooSlow => "headers_too_slow",
            Self::Malformed => "malformed",
            Self::Body => "body",
            Self::Query => "query",
            Self::HandlerTooSlow => "handler_too_slow",
            Self::SlowReader => "slow_reader",
            Self::Displaced => "displaced",
            Self::Drain => "drain",
        }
    }
}

/// The live counters of a server; [`snapshot`](Self::snapshot) reads them.
#[derive(Debug)]
pub struct Stats {
    /// One per route, then one for requests that no route matched.
    routes: Vec<RouteCounters>,
    refused: [AtomicU64; Refusal::ALL.len()],
    warned: [AtomicBool; Refusal::ALL.len()],
    connections_open: AtomicU64,
    connections_total: AtomicU64,
    scrapes_open: AtomicU64,
    bytes_out: AtomicU64,
    panics: AtomicU64,
}

#[derive(Debug)]
struct RouteCounters {
    path: Option<String>,
    by_class: [AtomicU64; 5],
}

impl Stats {
    pub(crate) fn new(paths: impl Iterator<Item = String>) -> Self {
        let routes =
            paths.map(Some).chain([None]).map(|path| RouteCounters { path, by_class: Default::default() });
        Self {
            routes: routes.collect(),
            refused: Default::default(),
            warned: Default::default(),
            connections_open: AtomicU64::new(0),
            connections_total: AtomicU64::new(0),
            scrapes_open: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

    /// Counts a response; `route` is the route's index, `None` when nothing matched.
    pub(crate) fn responded(&self, route: Option<usize>, status: u16) {
        let counters = route.and_then(|index| self.routes.get(index)).or(self.routes.last());
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(counter) = counters.and_then(|counters| counters.by_class.get(class)) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Counts a refusal; the first of each reason is logged, later ones would only flood the log.
    pub(crate) fn refused(&self, reason: Refusal) {
        self.refused[reason as usize].fetch_add(1, Relaxed);
        if !self.warned[reason as usize].swap(true, Relaxed) {
            tracing::warn!(
                reason = reason.as_str(),
                "refused an HTTP request or connection; later ones are counted only"
            );
        }
    }

    pub(crate) fn wrote(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Relaxed);
    }

    pub(crate) fn connection_opened(&self) {
        self.connections_open.fetch_add(1, Relaxed);
        self.connections_total.fetch_add(1, Relaxed);
    }

    pub(crate) fn connection_closed(&self) {
        self.connections_open.fetch_sub(1, Relaxed);
    }

    pub(crate) fn scrape_started(&self) {
        self.scrapes_open.fetch_add(1, Relaxed);
    }

    pub(crate) fn scrape_ended(&self) {
        self.scrapes_open.fetch_sub(1, Relaxed);
    }

    /// Reads every counter. The counters go on while they are read, so sums may differ by what happens meanwhile.
    #[must_use]
    pub fn snapshot(&self) -> StatsSnapshot {
        StatsSnapshot {
            routes: self
                .routes
                .iter()
                .map(|route| RouteStats {
                    path: route.path.clone(),
                    by_class: std::array::from_fn(|class| route.by_class[class].load(Relaxed)),
                })
                .collect(),
            refused: Refusal::ALL.map(|reason| (reason, self.refused[reason as usize].load(Relaxed))),
            connections_open: self.connections_open.load(Relaxed),
            connections_total: self.connections_total.load(Relaxed),
            scrapes_open: self.scrapes_open.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            panics: self.panics.load(Relaxed),
        }
    }
}

/// One reading of a server's counters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatsSnapshot {
    /// Responses by route, in the order of the routes; the last entry holds the requests that no route matched.
    pub routes: Vec<RouteStats>,
    /// Refusals by reason, all reasons, in the order of [`Refusal::ALL`].
    pub refused: [(Refusal, u64); Refusal::ALL.len()],
    /// Connections open now.
    pub connections_open: u64,
    /// Connections accepted since the start, without those that were refused.
    pub connections_total: u64,
    /// Requests to expensive routes in progress now.
    pub scrapes_open: u64,
    /// Bytes handed to the sockets since the start, HTTP heads included.
    pub bytes_out: u64,
    /// Handlers and bodies that panicked since the start.
    pub panics: u64,
}

impl StatsSnapshot {
    /// How many requests or connections were refused for this reason.
    #[must_use]
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refused[reason as usize].1
    }
}

/// The responses of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteStats {
    /// The route's path; `None` for the requests that no route matched.
    pub path: Option<String>,
    /// Responses by class of status: 1xx, 2xx, 3xx, 4xx, 5xx.
    pub by_class: [u64; 5],
}
