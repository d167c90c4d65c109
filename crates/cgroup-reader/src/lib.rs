//! Reads the kernel's numbers of a cgroup, v1, hybrid and v2, into slots, on kept file descriptors.
//!
//! A [`SourceKey`] says where a number stands on either version: file, word and unit. A [`Plan`] groups keys by file. A
//! `Handle` holds one cgroup's descriptors, and its `read` makes a pass: each file once, each wanted number into its
//! [`Slot`], per-device and per-interface numbers into a [`Table`].
//!
//! ```
//! use cgroup_reader::{At, Controller, Plan, Scale, Slot, SourceKey, Table, Units, Version};
//!
//! const USAGE: SourceKey = SourceKey::both(
//!     At::whole(Controller::Cpuacct, "cpuacct.usage", Scale::NanosOne),
//!     At::key(Controller::Cpu, "cpu.stat", "usage_usec", Scale::MicrosToNanos),
//! );
//! const READ: SourceKey = SourceKey::v2(At::column(Controller::Blkio, "io.stat", "rbytes", Scale::One));
//!
//! let plan = Plan::compile(Version::V2, &[(USAGE, 0)], &[(0, &[(READ, 0)])]);
//! let (mut slots, mut tables) = ([Slot::default()], [Table::new()]);
//!
//! // What `Handle::read` does with the files of a cgroup, here with their bytes:
//! plan.begin(&mut slots, &mut tables);
//! let units = Units::default();
//! plan.fill(0, b"usage_usec 12\nuser_usec 8\nsystem_usec 4\n", units, &mut slots, &mut tables);
//! plan.fill(1, b"254:0 rbytes=4096 wbytes=0 rios=1 wios=0\n", units, &mut slots, &mut tables);
//!
//! assert_eq!(slots[0], Slot::Value(12_000));
//! assert_eq!(tables[0].get("254:0"), Some(&[Slot::Value(4096)][..]));
//! ```
//!
//! # Why this shape
//!
//! - **Numbers are addressed, not modelled.** A new number in a known file is a new key, no code. Names, labels and formulas
//!   are the caller's.
//! - **Nothing is a sentinel.** A limit that is not set is [`Slot::Max`]; a number that is not there is
//!   [`Slot::Absent`] with its reason. One bad file spoils only its own slots.
//! - **Reading is synchronous.** A pass blocks as long as the kernel does; threads and deadlines are the caller's.
//! - **Gone is no error to explain.** A cgroup that was removed ends its handle with `Gone`, whichever errno said so.
//!
//! # Features
//!
//! `reader` (default; Linux only): everything that opens files: `Host`, `Handle`, `scan`, `ExitWatch`, `TreeWatch`. Without it:
//! keys, plans, [`parse`] and the path mapping ([`classify`], [`CgroupPath`]).

#[cfg(all(feature = "reader", not(target_os = "linux")))]
compile_error!(
    "cgroup-reader's feature `reader` opens Linux kernel files: build it for Linux, or use default-features = false"
);

mod fill;
mod key;
pub mod parse;
mod paths;
mod plan;
mod slot;

pub use key::{At, Controller, Field, Place, PsiLine, Scale, SourceKey, Units, Version};
pub use paths::{CgroupPath, Found, Runtime, classify};
pub use plan::Plan;
pub use slot::{Absence, Row, Slot, Table};

#[cfg(all(feature = "reader", target_os = "linux"))]
mod budget;
#[cfg(all(feature = "reader", target_os = "linux"))]
mod exit;
#[cfg(all(feature = "reader", target_os = "linux"))]
mod file;
#[cfg(all(feature = "reader", target_os = "linux"))]
mod host;
#[cfg(all(feature = "reader", target_os = "linux"))]
mod inotify;
#[cfg(all(feature = "reader", target_os = "linux"))]
mod reader;
#[cfg(all(feature = "reader", target_os = "linux"))]
mod tree;
#[cfg(all(feature = "reader", target_os = "linux"))]
mod tree_watch;

#[cfg(all(feature = "reader", target_os = "linux"))]
pub use budget::{FdBudget, raise_fd_limit};
#[cfg(all(feature = "reader", target_os = "linux"))]
pub use exit::{ExitSignal, ExitWatch, WatchError, Watched};
#[cfg(all(feature = "reader", target_os = "linux"))]
pub use file::{KeptFile, read_file, read_text};
#[cfg(all(feature = "reader", target_os = "linux"))]
pub use host::{Host, HostError, Layout, Namespace, Process, Roots};
#[cfg(all(feature = "reader", target_os = "linux"))]
pub use reader::{Gone, Handle};
#[cfg(all(feature = "reader", target_os = "linux"))]
pub use tree::{Choice, Chosen, Directories, Scan, ScanLimits, choose_within, find_by_id, scan, scan_within};
#[cfg(all(feature = "reader", target_os = "linux"))]
pub use tree_watch::{TreeEvent, TreeWatch};

#[cfg(all(doctest, feature = "reader", target_os = "linux"))]
#[doc = include_str!("../README.md")]
struct Readme;
