//! What the receiver of `tests/support` asks of whoever uses it.

use std::time::Duration;

/// The longest that anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
