//! Naming profiles: whose names and labels a page speaks.

/// Whose names and labels a page speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Profile {
    /// This project's: `container_id`, `container_name`, `image`.
    #[default]
    Native,
    /// cAdvisor's: `id`, `name`, `image` and every label of the container as `container_label_*`.
    Cadvisor,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 2] = [Self::Native, Self::Cadvisor];

    /// The word in `?profile=` and in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Cadvisor => "cadvisor",
        }
    }

    /// The profile of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.as_str() == name)
    }

    /// The name under which the catalogue's aliases know it; `None` where rows stand under their own names.
    pub(crate) const fn alias(self) -> Option<&'static str> {
        match self {
            Self::Native => None,
            Self::Cadvisor => Some("cadvisor"),
        }
    }
}
