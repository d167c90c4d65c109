//! The joint for GPUs: what a library of theirs knows, in words that no vendor owns.

use std::{fmt, sync::Arc};

use cgroup_reader::CgroupPath;

use crate::Absence;

/// Says which GPUs there are and which processes use them.
pub trait Accelerators: fmt::Debug + Send + Sync {
    /// What is known now, looked up anew where that is older than a moment. Called for each container, so it waits for a
    /// fraction of a second at most, and not at all while a look hangs.
    ///
    /// # Errors
    ///
    /// Why nothing is known of any.
    fn look(&self) -> Result<Arc<[Accelerator]>, Absence>;
}

/// One GPU, or one part of a divided one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accelerator {
    /// What tells it from all others, as its vendor's tools print it: `GPU-…`, `MIG-…`.
    pub id: Arc<str>,
    /// Its model, in its vendor's words.
    pub model: Arc<str>,
    /// Its vendor, one lower-case word.
    pub make: &'static str,
    /// What was read of it, or why nothing could be: it may be lost while others work.
    pub used: Result<AcceleratorUse, Absence>,
}

/// What is used of one GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceleratorUse {
    /// Its memory, bytes.
    pub memory_total: Result<u64, Absence>,
    /// What all hold of that, bytes.
    pub memory_used: Result<u64, Absence>,
    /// Time that it worked, percent of the last sampling period.
    pub busy: Result<u64, Absence>,
    /// The processes that use it, each once.
    pub processes: Result<Vec<AcceleratorProcess>, Absence>,
}

/// One process that uses a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceleratorProcess {
    /// The cgroups that it is in.
    pub cgroups: CgroupPath,
    /// The GPU's memory that it holds, bytes.
    pub memory: Result<u64, Absence>,
    /// For how much of the last sampling period parts of the GPU worked for it.
    pub time: Result<EngineTime, Absence>,
}

/// For how much of a sampling period parts of a GPU worked, percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineTime {
    /// Its multiprocessors: computing and drawing.
    pub general: u64,
    /// Its video encoders.
    pub encoder: u64,
    /// Its video decoders.
    pub decoder: u64,
}
