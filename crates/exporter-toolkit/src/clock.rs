//! What a connection is doing and until when it may: shared by its socket, its requests and its bodies.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::Limits;

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

/// One connection's phase. All users are on one task, so the lock is never waited for.
#[derive(Debug)]
pub(crate) struct Clock {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Outlives the phase: the end of a response may still be in hyper's buffer when its body has been dropped.
    response_deadline: Option<Instant>,
    /// Whether a body was refused that the peer may still be sending.
    body_refused: bool,
}

impl Clock {
    pub(crate) fn new(limits: Limits) -> Self {
        let phase = Phase::Opened { deadline: Instant::now() + limits.header_time };
        Self { limits, state: Mutex::new(State { phase, response_deadline: None, body_refused: false }) }
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
            Phase::Idle { .. } => Phase::Reading { deadline: Instant::now() + self.limits.header_time },
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
            state.phase = Phase::Reading { deadline: Instant::now() + self.limits.header_time };
        }
    }

    /// A request has been read whole.
    pub(crate) fn request_read(&self) {
        self.state().phase = Phase::Answering;
    }

    /// A response begins to be written.
    pub(crate) fn response_begun(&self) {
        let mut state = self.state();
        state.phase = Phase::Answering;
        state.response_deadline = Some(Instant::now() + self.limits.response_time);
    }

    /// The response's body was taken to its end or given up.
    pub(crate) fn response_ended(&self) {
        self.state().phase = Phase::Idle { deadline: Instant::now() + self.limits.keep_alive };
    }
}
