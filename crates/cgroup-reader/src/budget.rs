//! How many file descriptors may be kept.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that all handles and watches together may keep open.
///
/// A kept descriptor makes a read four times cheaper, and holds about 4.6 KB of kernel memory. What the budget has no room for
/// is opened and closed on each read. Files, which can do so, may take three quarters; the last quarter is for directories
/// and process descriptors, which serve more.
#[derive(Debug)]
pub struct FdBudget {
    total: usize,
    used: AtomicUsize,
}

/// What a descriptor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FdKind {
    /// A file, which could be opened on each read instead.
    File,
    /// A directory or a process.
    Other,
}

impl FdBudget {
    /// The most that [`FdBudget::from_limit`] gives: about 150 MB of kernel memory when all are in use.
    pub const FROM_LIMIT_MAX: usize = 32_768;

    /// A budget of that many.
    #[must_use]
    pub fn new(total: usize) -> Arc<FdBudget> {
        Arc::new(FdBudget { total, used: AtomicUsize::new(0) })
    }

    /// A budget from this process's `RLIMIT_NOFILE` as it is now, of which at most 512 stay free for sockets and the
    /// like, or half of a small one. See [`raise_fd_limit`].
    #[must_use]
    pub fn from_limit() -> Arc<FdBudget> {
        let soft = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| limit as usize);
        FdBudget::new(soft.saturating_sub(512.min(soft / 2)).min(FdBudget::FROM_LIMIT_MAX))
    }

    /// How many may be kept.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// How many are kept.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self, kind: FdKind) -> bool {
        let limit = match kind {
            FdKind::File => self.total - self.total / 4,
            FdKind::Other => self.total,
        };
        self.used
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |used| (used < limit).then_some(used + 1))
            .is_ok()
    }

    /// Little of it is used: there is room for what only spares work for a moment.
    pub(crate) fn is_plenty(&self) -> bool {
        self.used() < self.total / 4
    }

    /// Files can hardly be kept any more.
    pub(crate) fn is_crowded(&self) -> bool {
        self.used() + self.total / 4 >= self.total
    }

    pub(crate) fn give_back(&self, count: usize) {
        self.used.fetch_sub(count, Ordering::Relaxed);
    }
}

/// Raises the soft limit of open files to the hard one; call it once at start. Returns the soft limit before and after.
///
/// # Errors
/// The kernel's refusal; the limit is then as before.
pub fn raise_fd_limit() -> io::Result<(Option<u64>, Option<u64>)> {
    let before = getrlimit(Resource::Nofile);
    if before.current != before.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum })?;
    }
    Ok((before.current, getrlimit(Resource::Nofile).current))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_leave_a_quarter() {
        let budget = FdBudget::new(8);
        assert_eq!((0..10).filter(|_| budget.take(FdKind::File)).count(), 6);
        assert_eq!((0..10).filter(|_| budget.take(FdKind::Other)).count(), 2);
        assert_eq!(budget.used(), 8);
        budget.give_back(3);
        assert!(budget.take(FdKind::File));
        assert!(!FdBudget::new(0).take(FdKind::Other));
    }

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        let (before, after) = raise_fd_limit().unwrap();
        assert!(after >= before || after.is_none());
        assert_eq!(after, getrlimit(Resource::Nofile).maximum);
        assert!(FdBudget::from_limit().total() > 0);
    }
}
