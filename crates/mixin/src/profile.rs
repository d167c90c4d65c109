//! Under which names an expression is written, and which matchers every selector carries.

use metric_schema::MetricDef;

use crate::metric::target;

/// Names and labels of one naming profile.
///
/// A metric's name under a profile is its row's [alias](metric_schema::MetricDef::alias); the native profile needs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// What aliases call it; `native` is the rows' own.
    pub name: &'static str,
    /// Native label names and what they are here; `None` where the profile has no such label. Others keep their name.
    pub labels: &'static [(&'static str, Option<&'static str>)],
    /// What every selector of a metric with an identity carries here, by the profile's own label names.
    pub identified: &'static [Matcher<'static>],
    /// Groups of rows that have their own names here, too: what is not the profile's to rename.
    pub kept_groups: &'static [&'static str],
}

impl Profile {
    /// The rows' own names and labels.
    pub const NATIVE: Self = Self::new("native", &[], &[]);

    /// A profile of other names.
    #[must_use]
    pub const fn new(
        name: &'static str,
        labels: &'static [(&'static str, Option<&'static str>)],
        identified: &'static [Matcher<'static>],
    ) -> Self {
        Self { name, labels, identified, kept_groups: &[] }
    }

    /// That lets the rows of these groups keep their names.
    #[must_use]
    pub const fn keeping(mut self, groups: &'static [&'static str]) -> Self {
        self.kept_groups = groups;
        self
    }

    /// Whether a row without an alias has its own name here.
    pub(crate) fn keeps(&self, row: &MetricDef) -> bool {
        // What Prometheus makes has one name everywhere.
        row.group == target::GROUP || self.kept_groups.contains(&row.group)
    }

    /// Whether it is the rows' own.
    #[must_use]
    pub fn is_native(&self) -> bool {
        self.name == Self::NATIVE.name
    }

    /// What a native label is called here; `None` where it is not to be had.
    #[must_use]
    pub fn label<'a>(&self, native: &'a str) -> Option<&'a str>
    where
        'static: 'a,
    {
        match self.labels.iter().find(|(name, _)| *name == native) {
            Some((_, here)) => *here,
            None => Some(native),
        }
    }
}

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl Match {
    pub(crate) const fn operator(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// One matcher of a selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matcher<'a> {
    /// The label.
    pub label: &'a str,
    /// How.
    pub op: Match,
    /// With what.
    pub value: &'a str,
}

/// What an expression is rendered for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scope {
    /// The names.
    pub profile: Profile,
    /// Matchers that every selector carries whose metric has the (native) label, before its own.
    pub matchers: Vec<(&'static str, Match, String)>,
}

impl Default for Scope {
    /// Native names and no matchers, as alerts have it.
    fn default() -> Self {
        Self { profile: Profile::NATIVE, matchers: Vec::new() }
    }
}

impl Scope {
    /// Native names, and the variables `job` and `instance` in every selector.
    #[must_use]
    pub fn dashboard() -> Self {
        Self::default().matching("job", Match::Regex, "$job").matching("instance", Match::Regex, "$instance")
    }

    /// Under another profile.
    #[must_use]
    pub fn under(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// With one more matcher in every selector whose metric has this (native) label.
    #[must_use]
    pub fn matching(mut self, label: &'static str, op: Match, value: impl Into<String>) -> Self {
        self.matchers.push((label, op, value.into()));
        self
    }
}
