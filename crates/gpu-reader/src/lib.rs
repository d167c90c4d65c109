//! Which processes use which NVIDIA GPU, and how much of it, from the driver's own library.
//!
//! [`NvidiaGpus`] is an [`Accelerators`] for a collector's kernel sampler, which knows whose the processes are. Nothing is
//! loaded before somebody asks, and nothing is asked of the library but when somebody looks.
//!
//! ```
//! use collector_core::{Absence, Accelerators};
//! use gpu_reader::{NvidiaGpus, Options};
//!
//! let gpus = NvidiaGpus::new(Options { library: "/nowhere/libnvidia-ml.so.1".into(), ..Options::default() });
//! assert_eq!(gpus.look(), Err(Absence::NoLibrary));
//! ```
//!
//! # Why this shape
//!
//! - The library is not linked but loaded at run time: one program serves hosts with and without GPUs.
//! - **A call into a driver may hang.** One thread makes all of them; while it does not come back, nobody waits for it, and
//!   what it found before grows stale.
//! - The library is believed as the driver is: it runs in this process. What it lacks, and whatever error it gives, is a
//!   reason, never a panic.

mod nvml;

use std::{
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use collector_core::{Absence, Accelerator, Accelerators};

use nvml::Gpus;

/// Where to look, and for how long an answer is good.
#[derive(Debug, Clone)]
pub struct Options {
    /// The library: a name for the dynamic loader, or a path.
    pub library: PathBuf,
    /// Where `/proc` is.
    pub proc: PathBuf,
    /// How old an answer may be.
    pub fresh: Duration,
    /// After how long a library or driver that is not there is looked for again.
    pub retry: Duration,
    /// How long somebody who asks waits for the library.
    pub patience: Duration,
    /// How old an answer may be while the library does not come back.
    pub stale: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            library: "libnvidia-ml.so.1".into(),
            proc: "/proc".into(),
            fresh: Duration::from_secs(1),
            retry: Duration::from_secs(60),
            patience: Duration::from_millis(250),
            stale: Duration::from_secs(30),
        }
    }
}

/// What is known of all GPUs, or why nothing is.
type Found = Result<Arc<[Accelerator]>, Absence>;

/// The NVIDIA GPUs of this host.
#[derive(Debug)]
pub struct NvidiaGpus(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: Options,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    has_thread: bool,
    is_closed: bool,
    /// While the thread looks, or is about to: since when.
    looking: Option<Instant>,
    /// Whether it was said of this look that it hangs.
    is_told: bool,
    last: Option<(Instant, Found)>,
}

impl NvidiaGpus {
    /// Of this host; nothing is loaded yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Shared { options, state: Mutex::default(), changed: Condvar::new() }))
    }
}

impl Accelerators for NvidiaGpus {
    fn look(&self) -> Found {
        let shared = &self.0;
        let options = &shared.options;
        let mut state = shared.lock();
        if let Some((at, found)) = &state.last {
            let good_for = if found.is_ok() { options.fresh } else { options.retry };
            if at.elapsed() < good_for {
                return found.clone();
            }
        }
        if !state.has_thread && !shared.start_thread() {
            return Err(Absence::Timeout);
        }
        state.has_thread = true;
        let began = *state.looking.get_or_insert_with(Instant::now);
        shared.changed.notify_all();
        while state.looking == Some(began) {
            let Some(rest) = options.patience.checked_sub(began.elapsed()).filter(|rest| !rest.is_zero())
            else {
                break;
            };
            state = shared.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.looking == Some(began) && began.elapsed() >= options.stale && !state.is_told {
            state.is_told = true;
            tracing::warn!(
                "the library of NVIDIA's driver does not come back: no numbers of GPUs until it does; look at the kernel's log for Xid"
            );
        }
        match &state.last {
            Some((at, found)) if at.elapsed() < options.stale.max(options.patience) => found.clone(),
            Some(_) => Err(Absence::Stale),
            None => Err(Absence::Timeout),
        }
    }
}

impl Drop for NvidiaGpus {
    fn drop(&mut self) {
        // Not joined: it may hang.
        self.0.lock().is_closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_thread(self: &Arc<Self>) -> bool {
        let shared = Arc::clone(self);
        let started = thread::Builder::new().name("gpus".to_owned()).spawn(move || shared.run());
        if let Err(error) = &started {
            tracing::warn!(%error, "failed to start the thread that asks for GPUs: raise the limit of threads");
        }
        started.is_ok()
    }

    fn run(&self) {
        let mut gpus = Gpus::new(&self.options);
        loop {
            let mut state = self.lock();
            while state.looking.is_none() && !state.is_closed {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.is_closed {
                return;
            }
            drop(state);
            let found = gpus.look();
            let mut state = self.lock();
            state.last = Some((Instant::now(), found));
            state.looking = None;
            if std::mem::take(&mut state.is_told) {
                tracing::info!("the library of NVIDIA's driver is back");
            }
            drop(state);
            self.changed.notify_all();
        }
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
