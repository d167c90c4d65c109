//! Why files cannot be made.

/// What an operation gives or why it cannot.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why files cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that is not `key=value`.
    #[error(
        "failed to read the setting {0:?}: write it as key=value, such as alert.MemoryNearLimit.threshold=0.8"
    )]
    Setting(String),
    /// A setting whose value is not what its key wants.
    #[error("failed to read the setting {key}={value}: it wants {wanted}")]
    SettingValue {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What it should be, such as `a number`.
        wanted: &'static str,
    },
    /// A setting that nothing asks for.
    #[error("failed to use the setting {key}: nothing asks for it{}", hint(.similar))]
    UnknownSetting {
        /// The key.
        key: String,
        /// The key most like it.
        similar: Option<String>,
    },
    /// No profile has this name.
    #[error("failed to find the profile {0:?}: there are native and cadvisor")]
    UnknownProfile(String),
    /// A mistake in an expression.
    #[error("failed to write {what}: {source}")]
    Expression {
        /// The panel or alert.
        what: String,
        /// The mistake.
        source: mixin::Error,
    },
}

fn hint(similar: &Option<String>) -> String {
    similar.as_ref().map_or_else(String::new, |key| format!("; did you mean {key}?"))
}
