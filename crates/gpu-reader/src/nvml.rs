//! What the library says, in our words. All of it runs on one thread.

use std::{
    collections::{BTreeMap, HashMap, btree_map},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cgroup_reader::CgroupPath;
use collector_core::{Absence, Accelerator, AcceleratorProcess, AcceleratorUse, EngineTime};
use nvml_wrapper::{
    Device, Nvml, enums::device::UsedGpuMemory, error::NvmlError, struct_wrappers::device::ProcessInfo,
};

use crate::{Found, Options};

const MAKE: &str = "nvidia";
/// GPUs at most, and parts of one at most. More of either are left out.
const GPUS_MAX: u32 = 64;
const PARTS_MAX: u32 = 16;
/// Processes of one GPU at most.
const PROCESSES_MAX: usize = 4096;
/// The library samples at least once a second; what a process did before the last two seconds is over.
const SAMPLED_WITHIN: Duration = Duration::from_secs(2);

/// A GPU by its place, and the part of it.
type Place = (u32, Option<u32>);

/// Why the library cannot be used.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("failed to load {}: {source}; install NVIDIA's driver, or mount its library into the container", .path.display())]
    Load { path: PathBuf, source: NvmlError },
    #[error("failed to start {}: {source}; load the driver (`nvidia-smi` must work here), and let the container have /dev/nvidiactl", .path.display())]
    Start { path: PathBuf, source: NvmlError },
    #[error("failed to use {}: it has no nvmlShutdown; it is not the library of NVIDIA's driver", .path.display())]
    Unfit { path: PathBuf },
}

/// The library and what was learned from it.
pub(super) struct Gpus {
    library: PathBuf,
    proc: PathBuf,
    nvml: Option<Nvml>,
    /// Who stood where: a GPU that is lost cannot say its name any more.
    known: BTreeMap<Place, (Arc<str>, Arc<str>)>,
    /// What was last said of a place, or of the library, so that it is said once.
    told: HashMap<Option<Place>, String>,
}

impl Gpus {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            library: options.library.clone(),
            proc: options.proc.clone(),
            nvml: None,
            known: BTreeMap::new(),
            told: HashMap::new(),
        }
    }

    /// Looks at all GPUs, and loads the library first if need be.
    pub(super) fn look(&mut self) -> Found {
        let nvml = match self.nvml.take().map_or_else(|| open(&self.library), Ok) {
            Ok(nvml) => nvml,
            Err(error) => {
                self.say(None, &error.to_string());
                return Err(match error {
                    OpenError::Load { .. } | OpenError::Unfit { .. } => Absence::NoLibrary,
                    OpenError::Start { source, .. } => absence(&source),
                });
            }
        };
        match nvml.device_count() {
            Ok(count) => {
                self.told.remove(&None);
                let found = self.all(&nvml, count.min(GPUS_MAX));
                self.nvml = Some(nvml);
                Ok(found.into())
            }
            Err(error) => {
                // It is started anew the next time: the driver may have been unloaded and loaded.
                self.say(None, &format!("failed to count NVIDIA's GPUs: {error}"));
                Err(absence(&error))
            }
        }
    }

    fn all(&mut self, nvml: &Nvml, count: u32) -> Vec<Accelerator> {
        let mut found = Vec::new();
        for index in 0..count {
            match nvml.device_by_index(index) {
                Ok(device) => match parts(&device) {
                    Some(parts) => found.extend(
                        parts
                            .into_iter()
                            .filter_map(|(part, device)| self.one((index, Some(part)), Ok(&device))),
                    ),
                    None => found.extend(self.one((index, None), Ok(&device))),
                },
                Err(error) => {
                    let places: Vec<Place> =
                        self.known.range((index, None)..(index + 1, None)).map(|(place, _)| *place).collect();
                    // One that never answered has no name to be shown under.
                    if places.is_empty() {
                        self.say(Some((index, None)), &format!("failed to ask GPU {index}: {error}"));
                    }
                    found.extend(places.into_iter().filter_map(|place| self.one(place, Err(&error))));
                }
            }
        }
        found
    }

    /// One GPU or part; `None` where not even its name is known.
    fn one(&mut self, place: Place, device: Result<&Device<'_>, &NvmlError>) -> Option<Accelerator> {
        let used = match device {
            Err(error) => Err((absence(error), error.to_string())),
            Ok(device) => self
                .name(place, device)
                .and_then(|()| used(device, &self.proc))
                .map_err(|error| (absence(&error), error.to_string())),
        };
        match &used {
            Ok(_) => {
                if self.told.remove(&Some(place)).is_some() {
                    tracing::info!("GPU {} answers again", place.0);
                }
            }
            Err((_, error)) => self.say(Some(place), &format!("failed to ask GPU {}: {error}", place.0)),
        }
        let (id, model) = self.known.get(&place)?.clone();
        Some(Accelerator { id, model, make: MAKE, used: used.map_err(|(reason, _)| reason) })
    }

    /// Learns who stands there.
    fn name(&mut self, place: Place, device: &Device<'_>) -> Result<(), NvmlError> {
        let id = device.uuid()?;
        match self.known.entry(place) {
            btree_map::Entry::Occupied(known) if *known.get().0 == *id => {}
            entry => {
                let model = device.name()?;
                entry.insert_entry((id.into(), model.into()));
            }
        }
        Ok(())
    }

    fn say(&mut self, place: Option<Place>, what: &str) {
        if self.told.get(&place).is_some_and(|told| told == what) {
            return;
        }
        tracing::info!("no numbers of GPUs: {what}");
        self.told.insert(place, what.to_owned());
    }
}

fn open(path: &Path) -> Result<Nvml, OpenError> {
    let nvml = Nvml::builder().lib_path(path.as_os_str()).init().map_err(|source| match source {
        NvmlError::LibloadingError(_) | NvmlError::FailedToLoadSymbol(_) => {
            OpenError::Load { path: path.to_owned(), source }
        }
        source => OpenError::Start { path: path.to_owned(), source },
    })?;
    if nvml.lib().nvmlShutdown.is_err() {
        // Dropping it would call what is not there.
        std::mem::forget(nvml);
        return Err(OpenError::Unfit { path: path.to_owned() });
    }
    Ok(nvml)
}

/// The parts of a divided GPU (MIG), which stand for themselves; `None` for a whole one.
fn parts<'nvml>(device: &Device<'nvml>) -> Option<Vec<(u32, Device<'nvml>)>> {
    const ENABLED: u32 = 1;
    if device.mig_mode().ok()?.current != ENABLED {
        return None;
    }
    let count = device.mig_device_count().ok()?.min(PARTS_MAX);
    Some((0..count).filter_map(|part| Some((part, device.mig_device_by_index(part).ok()?))).collect())
}

/// What is used of a GPU.
///
/// # Errors
///
/// It is lost.
fn used(device: &Device<'_>, proc: &Path) -> Result<AcceleratorUse, NvmlError> {
    let memory = known(device.memory_info())?;
    let busy = known(device.utilization_rates())?;
    let memory_used = memory.as_ref().map(|memory| memory.used).map_err(|reason| *reason);
    let processes = match known(running(device))? {
        Ok(running) => {
            let times = known(times(device))?;
            Ok(running
                .into_iter()
                .filter_map(|(pid, memory)| {
                    let time = match &times {
                        Ok(times) => Ok(times.get(&pid).map_or_else(EngineTime::default, |(_, time)| *time)),
                        Err(reason) => Err(*reason),
                    };
                    // One that has ended meanwhile is nobody's.
                    let cgroups = fs::read(proc.join(pid.to_string()).join("cgroup")).ok()?;
                    Some(AcceleratorProcess { cgroups: CgroupPath::parse(&cgroups), memory, time })
                })
                .collect())
        }
        Err(reason) => Err(reason),
    };
    Ok(AcceleratorUse {
        memory_total: memory.map(|memory| memory.total),
        memory_used,
        busy: busy.map(|busy| u64::from(busy.gpu)),
        processes,
    })
}

/// The processes with a context of either kind, each once, and the memory that they hold.
fn running(device: &Device<'_>) -> Result<BTreeMap<u32, Result<u64, Absence>>, NvmlError> {
    let lists = [again(|| device.running_compute_processes()), again(|| device.running_graphics_processes())];
    if let [Err(error), Err(_)] = lists {
        return Err(error);
    }
    let mut found = BTreeMap::new();
    for list in lists {
        match list {
            Ok(list) => {
                for ProcessInfo { pid, used_gpu_memory, .. } in list.into_iter().take(PROCESSES_MAX) {
                    let memory = match used_gpu_memory {
                        UsedGpuMemory::Used(bytes) => Ok(bytes),
                        UsedGpuMemory::Unavailable => Err(Absence::NotSupported),
                    };
                    // A process of both kinds is in both lists, with all that it holds.
                    let known = found.entry(pid).or_insert(memory);
                    *known = match (*known, memory) {
                        (Ok(one), Ok(other)) => Ok(one.max(other)),
                        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
                        (Err(reason), Err(_)) => Err(reason),
                    };
                }
            }
            Err(error) if absence(&error) == Absence::NotSupported => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// By process, the newest sample of those that did something; with its time.
fn times(device: &Device<'_>) -> Result<HashMap<u32, (u64, EngineTime)>, NvmlError> {
    let since =
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(SAMPLED_WITHIN);
    let since = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    let samples = match again(|| device.process_utilization_stats(since)) {
        // Nobody did anything.
        Err(NvmlError::NotFound) => Vec::new(),
        samples => samples?,
    };
    let mut newest: HashMap<u32, (u64, EngineTime)> = HashMap::new();
    for sample in samples {
        let time = EngineTime {
            general: sample.sm_util.into(),
            encoder: sample.enc_util.into(),
            decoder: sample.dec_util.into(),
        };
        let known = newest.entry(sample.pid).or_default();
        if sample.timestamp >= known.0 {
            *known = (sample.timestamp, time);
        }
    }
    Ok(newest)
}

/// A list may grow between the question for its length and the one for it.
fn again<T>(ask: impl Fn() -> Result<T, NvmlError>) -> Result<T, NvmlError> {
    match ask() {
        Err(NvmlError::InsufficientSize(_)) => ask(),
        answer => answer,
    }
}

/// What a GPU does not tell is absent; a GPU that is lost tells nothing.
fn known<T>(answer: Result<T, NvmlError>) -> Result<Result<T, Absence>, NvmlError> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(error @ (NvmlError::GpuLost | NvmlError::ResetRequired | NvmlError::Uninitialized)) => Err(error),
        Err(error) => Ok(Err(absence(&error))),
    }
}

fn absence(error: &NvmlError) -> Absence {
    match error {
        NvmlError::NotSupported | NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound => {
            Absence::NotSupported
        }
        NvmlError::NoPermission => Absence::PermissionDenied,
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => Absence::NoLibrary,
        NvmlError::DriverNotLoaded | NvmlError::Uninitialized | NvmlError::LibRmVersionMismatch => {
            Absence::NoDriver
        }
        NvmlError::Timeout => Absence::Timeout,
        NvmlError::Utf8Error(_) | NvmlError::InsufficientSize(_) | NvmlError::UnexpectedVariant(_) => {
            Absence::Malformed
        }
        _ => Absence::NotReachable,
    }
}
