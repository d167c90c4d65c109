//! What a connection is doing and until when it may: shared by its socket, its requests and its bodies.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Limits;

/// The response of a connection, from its head to its body's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Response {
    None,
    Cheap,
    /// Of an expensive route: it holds one of the places for those.
    Expensive,
}

/// The part of a connection's life that decides how long a silent peer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Just opened, nothing has been read.
    Opened {
        /// Until when the first request must be there.
        deadline: Instant,
    },
    /// Between requests.
    Idle {
        /// Until when the next request must begin.
        deadline: Instant,
    },
    /// Part of a request was read.
    Reading {
        /// Until when the rest must be there.
        deadline: Instant,
    },
    /// A request is being answered: the handler's and the writer's deadlines hold.
    Answering,
}

/// A response that takes longer than any usual scrape timeout has most likely been given up by its reader.
const OVERDUE: Duration = Duration::from_secs(10);

/// One connection's phase. All users but those who look for room are on one task, so the lock is hardly ever waited for.
#[derive(Debug)]
pub(crate) struct Clock {
    limits: Limits,
    state: Mutex<State>,
    displaced: Notify,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Since when the peer has had something to do: to send a request, or to take a response.
    since: Instant,
    /// The response that is being written.
    response: Response,
    /// Since when the peer has taken nothing of what is there for it.
    stalled_since: Option<Instant>,
    is_displaced: bool,
    /// Outlives the phase: the end of a response may still be in hyper's buffer when its body has been dropped.
    response_deadline: Option<Instant>,
    /// Whether a body was refused that the peer may still be sending.
    body_refused: bool,
}

impl Clock {
    pub(crate) fn new(limits: Limits) -> Self {
        let since = Instant::now();
        let state = State {
            phase: Phase::Opened { deadline: since + limits.header_time },
            since,
            response: Response::None,
            stalled_since: None,
            is_displaced: false,
            response_deadline: None,
            body_refused: false,
        };
        Self { limits, state: Mutex::new(state), displaced: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn phase(&self) -> Phase {
        self.state().phase
    }

    pub(crate) fn response_deadline(&self) -> Option<Instant> {
        self.state().response_deadline
    }

    /// Bytes came in.
    pub(crate) fn bytes_read(&self) {
        let mut state = self.state();
        state.phase = match state.phase {
            Phase::Opened { deadline } => Phase::Reading { deadline },
            Phase::Idle { .. } => {
                state.since = Instant::now();
                Phase::Reading { deadline: state.since + self.limits.header_time }
            }
            unchanged => unchanged,
        };
    }

    /// A body was too long: the peer may go on sending it.
    pub(crate) fn body_refused(&self) {
        self.state().body_refused = true;
    }

    /// Whether the peer may be in the middle of sending something that nobody will read.
    pub(crate) fn peer_may_be_sending(&self) -> bool {
        let state = self.state();
        state.body_refused || matches!(state.phase, Phase::Reading { .. })
    }

    /// A request's head is there and its body, if any, is about to be read.
    pub(crate) fn body_begun(&self) {
        let mut state = self.state();
        // A pipelined request may come straight from hyper's buffer, without a read.
        if !matches!(state.phase, Phase::Reading { .. }) {
            state.since = Instant::now();
            state.phase = Phase::Reading { deadline: state.since + self.limits.header_time };
        }
    }

    /// A request has been read whole.
    pub(crate) fn request_read(&self) {
        self.state().phase = Phase::Answering;
    }

    /// A response begins to be written; one of an expensive route holds one of their places.
    pub(crate) fn response_begun(&self, is_expensive: bool) {
        let mut state = self.state();
        state.phase = Phase::Answering;
        state.since = Instant::now();
        state.response = if is_expensive { Response::Expensive } else { Response::Cheap };
        state.response_deadline = Some(state.since + self.limits.response_time);
    }

    /// The response's body was taken to its end or given up.
    pub(crate) fn response_ended(&self) {
        let mut state = self.state();
        state.since = Instant::now();
        state.response = Response::None;
        state.phase = Phase::Idle { deadline: state.since + self.limits.keep_alive };
    }

    /// The peer takes what is written, or does not; since when.
    pub(crate) fn stalled(&self, since: Option<Instant>) {
        self.state().stalled_since = since;
    }

    /// For how long the peer has kept the server waiting; `None` while it is the server that has to do something. With
    /// `of_expensive`, only of those that take the response of an expensive route.
    pub(crate) fn waited(&self, now: Instant, of_expensive: bool) -> Option<Duration> {
        let state = self.state();
        let whole = now.saturating_duration_since(state.since);
        let waited = match (state.phase, state.response) {
            (Phase::Answering, Response::None) => None,
            (Phase::Answering, _) if whole >= OVERDUE => Some(whole),
            (Phase::Answering, _) => state.stalled_since.map(|since| now.saturating_duration_since(since)),
            _ => Some(whole),
        };
        waited.filter(|_| !state.is_displaced && (!of_expensive || state.response == Response::Expensive))
    }

    /// Has the connection closed, so that another has its place.
    pub(crate) fn displace(&self) {
        self.state().is_displaced = true;
        self.displaced.notify_one();
    }

    /// Whether [`displace`](Self::displace) was called.
    pub(crate) fn is_displaced(&self) -> bool {
        self.state().is_displaced
    }

    /// Waits for [`displace`](Self::displace).
    pub(crate) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}
