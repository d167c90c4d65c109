//! Containers found by scanning the cgroup tree: ids without names, for hosts where no engine answers, and what no engine runs.
//!
//! [`ScanInventory`] is a fallback: a collector hears it while an engine does not answer. [`IncludeInventory`]
//! stands beside the engines: it tells of the cgroups that an [`Include`] chooses, such as those of systemd's services.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use std::sync::Arc;
//!
//! use cgroup_reader::Roots;
//! use collector_core::{Change, Changes, Inventory};
//! use source_cgroup::{Options, ScanInventory};
//!
//! // A host of cgroup v2 with one container in it, as a directory.
//! let host = tempfile::tempdir().unwrap();
//! let id = "1f".repeat(32);
//! let cgroup = host.path().join(format!("sys/fs/cgroup/system.slice/docker-{id}.scope"));
//! std::fs::create_dir_all(&cgroup).unwrap();
//! std::fs::write(host.path().join("sys/fs/cgroup/cgroup.controllers"), "cpu memory").unwrap();
//! std::fs::write(cgroup.join("cgroup.procs"), "4711\n").unwrap();
//!
//! let inventory = Arc::new(ScanInventory::new(Roots::under(host.path()), Options::default()));
//! let (changes, mut heard) = Changes::channel(8);
//! tokio::spawn(inventory.run(changes));
//!
//! assert!(matches!(heard.recv().await, Some((_, Change::Status(_)))));
//! let Some((_, Change::Listed(containers))) = heard.recv().await else { panic!("no list") };
//! assert_eq!(containers[0].id.as_str(), id);
//! # }
//! ```
//!
//! # What it can know
//!
//! - **Who:** the id, and the cgroup's path. Names, images and labels are the engine's.
//! - **Since when:** the start of the oldest process in the cgroup. It is found once for each run and kept, since it tells
//!   runs apart; another run is one in a new directory, or one whose every process is younger than the last look.
//! - **Whether it runs:** only cgroups with processes count. Engines leave empty ones behind on cgroup v1.
//!
//! # Units
//!
//! [`IncludeInventory`] shows a systemd unit under the path of its cgroup, with the names of the unit and of its slice as the
//! path has them: nobody is asked over D-Bus. One run lasts from the cgroup's creation to its end, whichever processes come
//! and go. Cgroups within containers are the containers' own, and a container that an engine may own is told late, so that
//! the engine speaks first.
//!
//! # Why this shape
//!
//! A scan costs some ten microseconds for each container, so it happens at start, when the collector asks for it (it watches
//! the tree by inotify) and every [`Options::interval`] as a net. It runs on a thread for blocking work, within
//! [`cgroup_reader::ScanLimits`], and a list is sent only when it differs from the last.
//! As a fallback it does not scan while every engine answers. Where some do, it tells of a new container late: it may be theirs.

#[cfg(not(target_os = "linux"))]
compile_error!("source-cgroup scans Linux cgroups: build it for Linux, or leave it out");

#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod follow;
#[cfg(all(feature = "fuzzing", target_os = "linux"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(target_os = "linux")]
mod include;
#[cfg(target_os = "linux")]
mod included;
#[cfg(target_os = "linux")]
mod inventory;
#[cfg(target_os = "linux")]
mod processes;
#[cfg(target_os = "linux")]
mod scanner;

#[cfg(target_os = "linux")]
pub use include::{Include, PATTERN_BYTES_MAX, PatternError, PatternProblem};
#[cfg(target_os = "linux")]
pub use included::IncludeInventory;
#[cfg(target_os = "linux")]
pub use inventory::{Options, ScanInventory};

#[cfg(all(doctest, target_os = "linux"))]
#[doc = include_str!("../README.md")]
struct Readme;
