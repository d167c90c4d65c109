//! Reads the kernel's numbers of a cgroup, v1, hybrid and v2, into slots, on kept file descriptors.

mod fill;
mod key;
pub mod parse;
mod plan;
mod slot;

pub use key::{At, Controller, Field, Place, PsiLine, Scale, SourceKey, Units, Version};
pub use plan::Plan;
pub use slot::{Absence, Row, Slot, Table};
