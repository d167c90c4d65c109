//! Which containers are collected: rules over name, image and labels, and a label that containers carry themselves.
//!
//! A rule is a subject, `=` and a glob:
//!
//! | rule | matches |
//! |---|---|
//! | `name=web-*` | by name, without the engine's leading `/` |
//! | `image=*/nginx:*` | by image, exactly as the engine names it, tag included |
//! | `label=com.example.env=prod` | a label with that key and value, each a glob |
//! | `label=monitored` | a label with that key, whatever its value |
//!
//! Globs: `*` is any text, slashes included, `?` one byte, `[a-z]` and `[!a-z]` one byte of a class, `{a,b}` either, `\`
//! takes the next character as it is. They match the whole text and tell upper from lower case.
//!
//! A container is admitted if any include rule matches it, or there is none, and no exclude rule does. A container
//! labelled [`IGNORE_LABEL`]`=true` never is.
//!
//! ```
//! use collector_core::select::Selection;
//!
//! let selection = Selection::new(&["image=*nginx*"], &["label=com.example.env=test"])?;
//! assert!(selection.admits("web-1", "docker.io/nginx:1.29", [("com.example.env", "prod")]));
//! assert!(!selection.admits("web-2", "docker.io/nginx:1.29", [("com.example.env", "test")]));
//! assert!(!selection.admits("db", "postgres:18", []));
//!
//! let error = Selection::new(&["nmae=web-*"], &[] as &[&str]).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "failed to read the rule `nmae=web-*` in containers.include: unknown subject `nmae`; \
//!      write name=GLOB, image=GLOB, label=KEY or label=KEY=GLOB",
//! );
//! # Ok::<(), collector_core::select::RuleError>(())
//! ```

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};

/// The label with which a container excludes itself, if its value is `true` (in any case).
pub const IGNORE_LABEL: &str = "container-exporter.ignore";

/// The longest rule, in bytes. Beyond any use; the compiler of globs has limits of its own, past which it panics.
pub const MAX_RULE_BYTES: usize = 1024;

/// The compiled rules of `containers.include` and `containers.exclude`. The default admits every container that does
/// not ignore itself.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    include: Vec<Rule>,
    exclude: Vec<Rule>,
}

impl Selection {
    /// Compiles the rules.
    ///
    /// # Errors
    /// The first rule that is not one, with the list it stands in and what to write instead.
    pub fn new(include: &[impl AsRef<str>], exclude: &[impl AsRef<str>]) -> Result<Self, RuleError> {
        Ok(Self {
            include: compile(include, RuleList::Include)?,
            exclude: compile(exclude, RuleList::Exclude)?,
        })
    }

    /// Whether the container is collected.
    ///
    /// `name` and `image` are `None` where nobody knows them (a container found by scanning cgroups); no rule over
    /// them matches then. The labels are gone through once at most.
    #[must_use]
    pub fn admits<'a>(
        &self,
        name: impl Into<Option<&'a str>>,
        image: impl Into<Option<&'a str>>,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> bool {
        let (name, image) = (name.into(), image.into());
        let name = name.map(|name| name.strip_prefix('/').unwrap_or(name));
        if self.exclude.iter().any(|rule| rule.matches_identity(name, image)) {
            return false;
        }
        let mut included =
            self.include.is_empty() || self.include.iter().any(|rule| rule.matches_identity(name, image));
        for (key, value) in labels {
            let ignored = key == IGNORE_LABEL && value.eq_ignore_ascii_case("true");
            if ignored || self.exclude.iter().any(|rule| rule.matches_label(key, value)) {
                return false;
            }
            included = included || self.include.iter().any(|rule| rule.matches_label(key, value));
        }
        included
    }
}

fn compile(rules: &[impl AsRef<str>], list: RuleList) -> Result<Vec<Rule>, RuleError> {
    let fail = |rule: &str, problem| RuleError { list, rule: rule.to_owned(), problem };
    rules
        .iter()
        .map(AsRef::as_ref)
        .map(|rule| Rule::parse(rule).map_err(|problem| fail(rule, problem)))
        .collect()
}

#[derive(Clone, Debug)]
enum Rule {
    Name(GlobMatcher),
    Image(GlobMatcher),
    /// Without a second glob any value will do.
    Label(GlobMatcher, Option<GlobMatcher>),
}

impl Rule {
    fn parse(rule: &str) -> Result<Self, RuleProblem> {
        if rule.len() > MAX_RULE_BYTES {
            return Err(RuleProblem::TooLong);
        }
        let (subject, pattern) = rule.split_once('=').ok_or(RuleProblem::NoSubject)?;
        match subject {
            "name" => glob(pattern).map(Self::Name),
            "image" => glob(pattern).map(Self::Image),
            "label" => match pattern.split_once('=') {
                // An empty value is one that labels have.
                Some((key, value)) => Ok(Self::Label(glob(key)?, Some(glob_or_empty(value)?))),
                None => Ok(Self::Label(glob(pattern)?, None)),
            },
            other => Err(RuleProblem::UnknownSubject(other.to_owned())),
        }
    }

    fn matches_identity(&self, name: Option<&str>, image: Option<&str>) -> bool {
        match self {
            Self::Name(glob) => name.is_some_and(|name| glob.is_match(name)),
            Self::Image(glob) => image.is_some_and(|image| glob.is_match(image)),
            Self::Label(..) => false,
        }
    }

    fn matches_label(&self, key: &str, value: &str) -> bool {
        match self {
            Self::Label(key_glob, value_glob) => {
                key_glob.is_match(key) && value_glob.as_ref().is_none_or(|glob| glob.is_match(value))
            }
            Self::Name(_) | Self::Image(_) => false,
        }
    }
}

fn glob(pattern: &str) -> Result<GlobMatcher, RuleProblem> {
    if pattern.is_empty() { Err(RuleProblem::NoPattern) } else { glob_or_empty(pattern) }
}

fn glob_or_empty(pattern: &str) -> Result<GlobMatcher, RuleProblem> {
    // A glob of its own for each rule, not a set: the set's short cuts are made for paths and split them at slashes and
    // dots; this one is its regular expression and nothing else.
    let glob = GlobBuilder::new(pattern).literal_separator(false).backslash_escape(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| RuleProblem::BadGlob(error.kind().to_string()))
}

/// The list of the configuration that a rule stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleList {
    /// `containers.include`.
    Include,
    /// `containers.exclude`.
    Exclude,
}

impl fmt::Display for RuleList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Include => "containers.include",
            Self::Exclude => "containers.exclude",
        })
    }
}

/// A rule that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to read the rule `{rule}` in {list}: {problem}")]
#[non_exhaustive]
pub struct RuleError {
    /// Where it stands.
    pub list: RuleList,
    /// The rule as it was written.
    pub rule: String,
    /// What is wrong with it.
    pub problem: RuleProblem,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleProblem {
    /// There is no `=`.
    #[error("no subject; write name=GLOB, image=GLOB, label=KEY or label=KEY=GLOB")]
    NoSubject,
    /// What stands before the `=` is not a subject.
    #[error("unknown subject `{0}`; write name=GLOB, image=GLOB, label=KEY or label=KEY=GLOB")]
    UnknownSubject(String),
    /// Nothing stands after the `=`.
    #[error("nothing to match with; write * for anything")]
    NoPattern,
    /// It is longer than [`MAX_RULE_BYTES`].
    #[error("longer than {MAX_RULE_BYTES} bytes; split it into several rules")]
    TooLong,
    /// The glob is malformed; the text says how.
    #[error("bad glob: {0}; put a \\ before a character that shall be taken as it is")]
    BadGlob(String),
}
