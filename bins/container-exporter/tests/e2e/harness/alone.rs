//! Tests that change the whole machine wait until no other runs, and the others wait for them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

struct State {
    /// What of other tests is at work.
    others: usize,
    /// The thread of the test that has the machine to itself.
    owner: Option<ThreadId>,
}

static STATE: Mutex<State> = Mutex::new(State { others: 0, owner: None });
static CHANGED: Condvar = Condvar::new();

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something at work that a change of the machine would disturb. It may be had several times by one test.
pub(super) struct AtWork(());

impl AtWork {
    /// Waits while a test of another thread has the machine to itself.
    pub(super) fn begin() -> Self {
        let me = std::thread::current().id();
        let others_own = |state: &mut State| state.owner.is_some_and(|owner| owner != me);
        let mut state = CHANGED.wait_while(state(), others_own).unwrap_or_else(PoisonError::into_inner);
        state.others += 1;
        Self(())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        state().others -= 1;
        CHANGED.notify_all();
    }
}

/// The machine for one test alone. Its thread may go on to start what the others wait with.
pub(crate) struct Alone(());

impl Alone {
    /// Waits until nothing of any test is at work: perhaps the whole suite.
    pub(crate) fn wait() -> Self {
        let busy = |state: &mut State| state.others > 0 || state.owner.is_some();
        let mut state = CHANGED.wait_while(state(), busy).unwrap_or_else(PoisonError::into_inner);
        state.owner = Some(std::thread::current().id());
        Self(())
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        state().owner = None;
        CHANGED.notify_all();
    }
}
