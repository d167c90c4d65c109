//! What time it is in the simulation.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::watch;

/// Where the simulation has its time from.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Clock {
    /// The system's clock.
    #[default]
    Real,
    /// A clock that moves only when it is told to.
    Held(HeldClock),
}

impl Clock {
    /// The time.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        match self {
            Self::Real => SystemTime::now(),
            Self::Held(clock) => clock.now(),
        }
    }

    /// Waits until that time has come.
    pub(crate) async fn wait_for(&self, at: SystemTime) {
        match self {
            Self::Real => {
                tokio::time::sleep(at.duration_since(SystemTime::now()).unwrap_or_default()).await;
            }
            // A clock whose last handle is gone never moves again; but `self` is a handle.
            Self::Held(clock) => {
                let _ = clock.0.subscribe().wait_for(|now| *now >= at).await;
            }
        }
    }
}

impl From<HeldClock> for Clock {
    fn from(clock: HeldClock) -> Self {
        Self::Held(clock)
    }
}

/// A clock that stands still until it is moved. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct HeldClock(Arc<watch::Sender<SystemTime>>);

impl HeldClock {
    /// A clock that shows this time.
    #[must_use]
    pub fn new(at: SystemTime) -> Self {
        Self(Arc::new(watch::Sender::new(at)))
    }

    /// The time it shows.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        *self.0.borrow()
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now += by);
    }
}
