//! Payloads that wait, within a bound in bytes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::{DropReason, Stats};

/// The largest payload that may be sent, in bytes before compression: receivers commonly refuse messages above 4 MiB.
pub const PAYLOAD_BYTES_MAX: usize = 3_800_000;

/// What a payload costs beside its body, so that a crowd of tiny ones is bounded too.
pub(crate) const OVERHEAD: usize = 64;

/// One request, encoded.
#[derive(Debug, Clone)]
pub struct Payload {
    /// An `ExportMetricsServiceRequest`, or one of traces, of at most [`PAYLOAD_BYTES_MAX`] bytes. It should own its memory: the queue
    /// counts its length, not what it may be a part of.
    pub body: Bytes,
    /// The data points or spans in it, for counting.
    pub points: usize,
}

impl Payload {
    fn cost(&self) -> usize {
        self.body.len() + OVERHEAD
    }
}

/// What was not delivered when a client was shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Undelivered {
    /// Payloads.
    pub payloads: usize,
    /// Data points in them.
    pub points: usize,
}

#[derive(Debug)]
pub(crate) struct Queue {
    stats: Arc<Stats>,
    state: Mutex<State>,
    /// Something came in, or the queue was closed.
    changed: Notify,
    /// Something went out.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Payload>,
    inflight: Option<Payload>,
    /// Of all that waits and what is in flight.
    bytes: usize,
    points: usize,
    bytes_max: usize,
    is_closed: bool,
}

impl Queue {
    pub(crate) fn new(bytes_max: usize, stats: Arc<Stats>) -> Self {
        stats.set_queue_bytes_max(bytes_max);
        let state = Mutex::new(State { bytes_max, ..State::default() });
        Self { stats, state, changed: Notify::new(), room: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one; the oldest make room.
    pub(crate) fn push(&self, payload: Payload) {
        let mut state = self.state();
        let cost = payload.cost();
        if state.is_closed {
            self.stats.failed(DropReason::Shutdown, payload.points);
            return;
        }
        if payload.body.len() > PAYLOAD_BYTES_MAX || cost > state.bytes_max {
            self.stats.failed(DropReason::TooLarge, payload.points);
            return;
        }
        self.shrink(&mut state, cost);
        // What is in flight may leave too little.
        if state.bytes + cost > state.bytes_max {
            self.stats.failed(DropReason::QueueFull, payload.points);
        } else {
            state.bytes += cost;
            state.points += payload.points;
            state.waiting.push_back(payload);
        }
        self.show(&state);
        drop(state);
        self.changed.notify_one();
    }

    /// Another bound holds from now on.
    pub(crate) fn set_bytes_max(&self, bytes_max: usize) {
        let mut state = self.state();
        state.bytes_max = bytes_max;
        self.stats.set_queue_bytes_max(bytes_max);
        self.shrink(&mut state, 0);
        self.show(&state);
        drop(state);
        self.room.notify_waiters();
    }

    /// Drops the oldest until so many bytes more are within the bound, or nothing waits.
    fn shrink(&self, state: &mut State, more: usize) {
        while state.bytes + more > state.bytes_max {
            let Some(oldest) = state.waiting.pop_front() else { return };
            state.bytes -= oldest.cost();
            state.points -= oldest.points;
            self.stats.failed(DropReason::QueueFull, oldest.points);
        }
    }

    fn show(&self, state: &State) {
        self.stats.set_queue(state.points, state.bytes);
        self.stats.set_inflight(state.inflight.as_ref().map_or(0, |payload| payload.points));
    }

    /// Waits until a body of so many bytes has room without a drop, or the queue is closed.
    pub(crate) async fn has_room(&self, body_bytes: usize) {
        loop {
            let notified = self.room.notified();
            {
                let state = self.state();
                let is_never = body_bytes + OVERHEAD > state.bytes_max;
                if state.is_closed || is_never || state.bytes + body_bytes + OVERHEAD <= state.bytes_max {
                    return;
                }
            }
            notified.await;
        }
    }

    /// Waits until something waits; `false` when the queue is closed and empty.
    pub(crate) async fn has_some(&self) -> bool {
        loop {
            let notified = self.changed.notified();
            {
                let state = self.state();
                if !state.waiting.is_empty() {
                    return true;
                }
                if state.is_closed {
                    return false;
                }
            }
            notified.await;
        }
    }

    /// Takes the oldest; it is in flight, and counts in the bound, until [`done`](Self::done).
    pub(crate) fn take(&self) -> Option<Payload> {
        let mut state = self.state();
        let payload = state.waiting.pop_front()?;
        state.points -= payload.points;
        state.inflight = Some(payload.clone());
        self.show(&state);
        Some(payload)
    }

    /// What was in flight has met its end.
    pub(crate) fn done(&self) {
        let mut state = self.state();
        if let Some(payload) = state.inflight.take() {
            state.bytes -= payload.cost();
        }
        self.show(&state);
        drop(state);
        self.room.notify_waiters();
    }

    /// Takes nothing any more.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_one();
        self.room.notify_waiters();
    }

    /// Drops all there is, in flight or waiting, as not delivered.
    pub(crate) fn abandon(&self) -> Undelivered {
        let mut state = self.state();
        state.is_closed = true;
        let left: Vec<Payload> = state.inflight.take().into_iter().chain(state.waiting.drain(..)).collect();
        let undelivered =
            Undelivered { payloads: left.len(), points: left.iter().map(|payload| payload.points).sum() };
        self.stats.failed(DropReason::Shutdown, undelivered.points);
        (state.bytes, state.points) = (0, 0);
        self.show(&state);
        drop(state);
        self.changed.notify_one();
        self.room.notify_waiters();
        undelivered
    }
}
