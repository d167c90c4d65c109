//! Reads the kernel's numbers of a cgroup, v1, hybrid and v2, into slots, on kept file descriptors.

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
pub use host::{Host, HostError, Layout, Namespace, Process, Roots};
#[cfg(all(feature = "reader", target_os = "linux"))]
pub use reader::{Gone, Handle};
#[cfg(all(feature = "reader", target_os = "linux"))]
pub use tree::{Directories, Scan, ScanLimits, find_by_id, scan, scan_within};
#[cfg(all(feature = "reader", target_os = "linux"))]
pub use tree_watch::{TreeEvent, TreeWatch};
