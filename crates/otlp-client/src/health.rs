//! What is said of the receiver: one line for each change, with what to do.

use crate::Endpoint;

/// A kind of trouble; each is told once until the receiver takes everything again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection, or a cut one.
    Unreachable,
    /// It asks to come back later.
    Later,
    /// It does not answer in time.
    Slow,
    /// It refuses.
    Refused,
    /// It answers what is no answer.
    Bad,
    /// It takes a part.
    Partial,
}

/// What was last said.
#[derive(Debug, Default)]
pub(crate) struct Health {
    was_good: bool,
    /// One bit for each kind that was told.
    told: u8,
}

impl Health {
    /// Something is wrong.
    pub(crate) fn trouble(&mut self, endpoint: &Endpoint, trouble: Trouble, why: &str) {
        let bit = 1 << trouble as u8;
        if self.told & bit == 0 {
            self.told |= bit;
            tracing::warn!("failed to deliver {} to {endpoint}: {why}", endpoint.signal().as_str());
        }
    }

    /// It took everything.
    pub(crate) fn good(&mut self, endpoint: &Endpoint) {
        if self.told != 0 {
            tracing::info!("{endpoint} takes {} again", endpoint.signal().as_str());
        } else if !self.was_good {
            tracing::info!("{endpoint} takes {}", endpoint.signal().as_str());
        }
        (self.was_good, self.told) = (true, 0);
    }
}
