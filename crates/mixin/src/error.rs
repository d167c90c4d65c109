//! Why an expression cannot be written.

/// What an operation gives or why it cannot.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an expression cannot be written for a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The profile has no such metric.
    #[error("cannot be answered because {profile} has no name for {metric}")]
    NoName {
        /// The profile.
        profile: &'static str,
        /// The metric, by its native name.
        metric: String,
    },
    /// The profile has no such label.
    #[error("cannot be answered because {profile} has no label for {label}")]
    NoLabel {
        /// The profile.
        profile: &'static str,
        /// The label, by its native name.
        label: String,
    },
    /// The expression mentions a label that its series do not have.
    #[error("failed to use the label {label:?} in {place}: its series have {known}")]
    UnknownLabel {
        /// The label.
        label: String,
        /// Where it is used.
        place: String,
        /// The labels that there are.
        known: String,
    },
    /// A label with a closed set of values is compared with another.
    #[error("failed to match {label}={value:?} of {metric}: its values are {known}")]
    UnknownValue {
        /// The metric.
        metric: String,
        /// The label.
        label: String,
        /// The value.
        value: String,
        /// The values that there are.
        known: String,
    },
    /// A function is used on a metric that it means nothing for.
    #[error("failed to write {function} of {metric}: {reason}")]
    Meaningless {
        /// The function.
        function: &'static str,
        /// The metric.
        metric: String,
        /// Why.
        reason: &'static str,
    },
    /// A test's series leaves a label open that its metric has.
    #[error("failed to write a series of {metric} for a test: its label {label:?} has no value")]
    OpenLabel {
        /// The label.
        label: String,
        /// The metric.
        metric: String,
    },
    /// A template has an opening brace without its end.
    #[error("failed to read the template {0:?}: a brace is not closed, or what stands in it is not known")]
    Template(String),
}

impl Error {
    /// Whether only the profile is to blame: the panel or alert is then left out, with this error as its reason.
    #[must_use]
    pub const fn is_unanswerable(&self) -> bool {
        matches!(self, Self::NoName { .. } | Self::NoLabel { .. })
    }
}
