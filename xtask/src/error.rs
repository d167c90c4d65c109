//! The one error type: a sentence for a person, or Ctrl-C.

use std::fmt;

/// Why a task ended early.
#[derive(Debug)]
pub(crate) enum Error {
    /// A signal asked for the end; what was started is undone on the way out.
    Interrupted,
    /// What was attempted, on what, and what to do about it.
    Failed(String),
}

/// The result of everything here.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error that says `message`.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted"),
            Self::Failed(message) => f.write_str(message),
        }
    }
}

/// Puts what was attempted before the reason.
pub(crate) trait Context<T> {
    /// `attempt` reads as "failed to …".
    fn context(self, attempt: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, attempt: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|reason| Error::Failed(format!("{}: {reason}", attempt())))
    }
}
