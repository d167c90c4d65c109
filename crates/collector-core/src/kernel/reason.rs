//! Why something could not be read.

use std::io;

use rustix::io::Errno;

use crate::Absence;

/// The process, thread, cgroup or file is not there any more.
pub(super) fn is_gone(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    error.kind() == io::ErrorKind::NotFound || matches!(errno, Some(Errno::SRCH | Errno::NODEV))
}

/// Why a file could not be had.
pub(super) fn reason(error: &io::Error) -> Absence {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Absence::PermissionDenied,
        io::ErrorKind::FileTooLarge => Absence::TooMany,
        io::ErrorKind::InvalidData => Absence::Malformed,
        _ if is_gone(error) => Absence::NotRunning,
        _ => Absence::NotReachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_reasons() {
        for (errno, expect) in [
            (Errno::ACCESS, Absence::PermissionDenied),
            (Errno::PERM, Absence::PermissionDenied),
            (Errno::FBIG, Absence::TooMany),
            (Errno::NOENT, Absence::NotRunning),
            (Errno::SRCH, Absence::NotRunning),
            (Errno::NODEV, Absence::NotRunning),
            (Errno::STALE, Absence::NotReachable),
            (Errno::IO, Absence::NotReachable),
        ] {
            assert_eq!(reason(&errno.into()), expect, "{errno:?}");
        }
        assert_eq!(reason(&io::ErrorKind::InvalidData.into()), Absence::Malformed);
    }
}
