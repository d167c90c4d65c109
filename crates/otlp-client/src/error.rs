//! What can be wrong with what a client was told.

use std::path::{Path, PathBuf};

use crate::HeadersError;

/// Something that was set cannot be used. Says where it was set, what is wrong and what to write; shows no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to use {origin}: {kind}")]
pub struct SettingsError {
    origin: String,
    kind: SettingsErrorKind,
}

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsErrorKind {
    /// No URL, or one of a kind that the protocol does not know.
    #[error("{text:?}: {reason}")]
    Endpoint {
        /// Without user, password and query.
        text: String,
        /// What is wrong and what to write.
        reason: String,
    },
    /// Not one of the words that are known.
    #[error("{text:?}: {expected}")]
    Word {
        /// What was found.
        text: String,
        /// What is known.
        expected: String,
    },
    /// Not a list of headers.
    #[error("{0}")]
    Headers(#[from] HeadersError),
    /// The variable holds bytes that are not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// One of certificate and key without the other.
    #[error("the client's certificate and its key go together: set {0} too, or neither")]
    Half(&'static str),
    /// A file of TLS is missing or is not what it should be.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Nothing to trust: this machine has no authorities.
    #[error(
        "no authorities are known on this machine ({0}); install its package of CA certificates, or name the file of the receiver's authority with OTEL_EXPORTER_OTLP_CERTIFICATE"
    )]
    NoAuthorities(String),
    /// TLS refuses the name of the host.
    #[error("no certificate can name {0:?}; write a host name or an IP address")]
    Host(String),
}

impl SettingsError {
    /// Something that was set at `origin` cannot be used.
    pub fn new(origin: impl Into<String>, kind: impl Into<SettingsErrorKind>) -> Self {
        Self { origin: origin.into(), kind: kind.into() }
    }

    /// A word that was set at `origin` is none of those that are known, which `expected` says: the error of
    /// [`Protocol`](crate::Protocol)'s and [`Compression`](crate::Compression)'s `FromStr`.
    pub fn word(origin: impl Into<String>, text: &str, expected: String) -> Self {
        let text = text.chars().take(60).collect();
        Self::new(origin, SettingsErrorKind::Word { text, expected })
    }

    pub(crate) fn file(origin: &str, path: &Path, reason: impl ToString) -> Self {
        Self::new(origin, SettingsErrorKind::File { path: path.to_owned(), reason: reason.to_string() })
    }

    /// The variable or key whose value it is, as [`Said::by`](crate::Said::by) had it.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> &SettingsErrorKind {
        &self.kind
    }
}
