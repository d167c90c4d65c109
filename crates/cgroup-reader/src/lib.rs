//! Reads the kernel's numbers of a cgroup, v1, hybrid and v2, into slots, on kept file descriptors.

mod key;
mod slot;

pub use key::{At, Controller, Field, Place, PsiLine, Scale, SourceKey, Units, Version};
pub use slot::{Absence, Row, Slot, Table};
