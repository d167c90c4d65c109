//! Which cgroups a person wants to see: patterns over their paths, and what systemd calls them.

use std::sync::Arc;

use cgroup_reader::{Choice, classify};
use globset::{GlobBuilder, GlobMatcher};

/// The longest pattern, in bytes: beyond any use.
pub const PATTERN_BYTES_MAX: usize = 1024;

/// The patterns of `cgroup.include`.
///
/// A pattern is a path below the root of the tree. `*` is any text within one component, `**` any number of components, `?`
/// one character, `[ab]` one of a class, `{a,b}` either; `\` takes the next character as it is. A slice is chosen only by
/// a pattern that ends in `.slice`: it is not a thing that runs, and what is in it has its own numbers.
///
/// The kernel counts what is in a cgroup with that cgroup, so two that nest must not be added up. A pattern that ends in `**`
/// chooses none of those: a plain cgroup in a unit is part of the unit, and of units that nest the innermost are shown. Any
/// other last component chooses what it says. What is in a container or a machine is never chosen.
///
/// ```
/// use source_cgroup::Include;
///
/// let include = Include::new(&["system.slice/*.service", "user.slice/**"])?;
/// assert!(include.matches("/system.slice/ssh.service"));
/// assert!(include.matches("/user.slice/user-1000.slice/session-1.scope"));
/// assert!(!include.matches("/system.slice/ssh.service/worker"));
/// assert!(!include.matches("/user.slice/user-1000.slice"));
///
/// let error = Include::new(&["system.slice/[a"]).unwrap_err();
/// assert!(error.to_string().starts_with("failed to read the pattern `system.slice/[a` in cgroup.include: bad glob: "));
/// # Ok::<(), source_cgroup::PatternError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Include {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    glob: GlobMatcher,
    slices: bool,
    /// Whether it ends in `**`.
    open: bool,
    /// The directories that every match is in, each with a slash behind.
    prefix: String,
    /// The number of components of every match; `None` where it varies.
    depth: Option<usize>,
}

impl Include {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// The first that is none, with what to write instead.
    pub fn new(patterns: &[impl AsRef<str>]) -> Result<Include, PatternError> {
        let compile = |text: &str| {
            Pattern::parse(text).map_err(|problem| PatternError { pattern: text.to_owned(), problem })
        };
        let patterns = patterns.iter().map(|text| compile(text.as_ref())).collect::<Result<_, _>>()?;
        Ok(Include { patterns })
    }

    /// Whether nothing is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a cgroup, by its path in the hierarchy, is wanted.
    #[must_use]
    pub fn matches(&self, cgroup: &str) -> bool {
        let relative = cgroup.trim_start_matches('/');
        self.patterns.iter().any(|pattern| pattern.matches(relative))
    }

    /// Whether only patterns that end in `**` want it: they mean whatever runs there, and nothing twice.
    pub(crate) fn is_open(&self, cgroup: &str) -> bool {
        let relative = cgroup.trim_start_matches('/');
        !self.patterns.iter().any(|pattern| !pattern.open && pattern.matches(relative))
    }

    /// What a walk through the tree does with a cgroup. What is in a container is the container's own.
    pub(crate) fn choose(&self, cgroup: &str) -> Choice {
        let relative = cgroup.trim_start_matches('/');
        let enter = || self.patterns.iter().any(|pattern| pattern.leads_below(relative));
        Choice {
            take: self.matches(cgroup) && !(is_part_of_unit(cgroup) && self.is_open(cgroup)),
            enter: classify(cgroup).is_none() && machine(cgroup).is_none() && enter(),
        }
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, PatternProblem> {
        let text = text.trim_start_matches('/');
        if text.is_empty() {
            return Err(PatternProblem::Empty);
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternProblem::TooLong);
        }
        let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
        let glob = glob.map_err(|error| PatternProblem::BadGlob(error.kind().to_string()))?;
        let literal = &text[..text.find(['*', '?', '[', '{', '\\']).unwrap_or(text.len())];
        let prefix = literal.rfind('/').map_or("", |slash| &literal[..=slash]).to_owned();
        // Braces and classes may have slashes in them.
        let varies = text.contains("**") || text.contains(['[', '{', '\\']);
        let depth = (!varies).then(|| text.split('/').count());
        let glob = glob.compile_matcher();
        Ok(Pattern { glob, slices: text.ends_with(".slice"), open: text.ends_with("**"), prefix, depth })
    }

    fn matches(&self, relative: &str) -> bool {
        (self.slices || !relative.ends_with(".slice")) && self.glob.is_match(relative)
    }

    /// Whether there may be matches below.
    fn leads_below(&self, relative: &str) -> bool {
        let leads_to = |rest: &str| rest.starts_with('/');
        let on_the_way =
            self.prefix.strip_prefix(relative).is_some_and(leads_to) || relative.starts_with(&self.prefix);
        on_the_way && self.depth.is_none_or(|depth| relative.split('/').count() < depth)
    }
}

/// A pattern that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read the pattern `{pattern}` in cgroup.include: {problem}")]
#[non_exhaustive]
pub struct PatternError {
    /// As it was written.
    pub pattern: String,
    /// What is wrong with it.
    pub problem: PatternProblem,
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternProblem {
    /// It is empty, or the root of the tree.
    #[error("it names no cgroup; write a path such as system.slice/*.service, or ** for all")]
    Empty,
    /// It is longer than [`PATTERN_BYTES_MAX`].
    #[error("longer than {PATTERN_BYTES_MAX} bytes; split it into several patterns")]
    TooLong,
    /// The glob is malformed; the text says how.
    #[error("bad glob: {0}; put a \\ before a character that shall be taken as it is")]
    BadGlob(String),
}

/// What a cgroup is called that is no container with an id of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// Its own name; of a machine what `machinectl` calls it.
    pub(crate) name: Arc<str>,
    /// The systemd unit that it is, or is in; a machine is a container, and none.
    pub(crate) unit: Option<Arc<str>>,
    /// The slice that the unit is in.
    pub(crate) slice: Option<Arc<str>>,
}

/// The kinds of units that have cgroups, systemd.unit(5), slices apart.
const UNIT_SUFFIXES: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

impl Names {
    /// Reads them off a path.
    pub(crate) fn of(cgroup: &str) -> Names {
        if let Some(name) = machine(cgroup) {
            return Names { name: name.into(), unit: None, slice: None };
        }
        let names: Vec<&str> = cgroup.split('/').filter(|name| !name.is_empty()).collect();
        let is_slice = |at: &usize| names[*at].ends_with(".slice");
        let is_unit = |at: &usize| UNIT_SUFFIXES.iter().any(|suffix| names[*at].ends_with(suffix));
        let own = names.len().saturating_sub(1);
        let nearest = (0..names.len()).rev().find(|at| is_unit(at) || is_slice(at));
        // What is in a slice, but in no unit of it, has none.
        let unit = nearest.filter(|at| *at == own || is_unit(at));
        let slice = (0..unit.unwrap_or(own)).rev().find(is_slice);
        let shown = |at: usize| Arc::from(unescaped(names[at]));
        Names {
            name: names.last().map_or_else(|| Arc::from("/"), |name| Arc::from(unescaped(name))),
            unit: unit.map(shown),
            slice: slice.map(shown),
        }
    }
}

/// Whether the nearest unit above a cgroup is not itself one: a service's own division into workers.
fn is_part_of_unit(cgroup: &str) -> bool {
    let is_container = || classify(cgroup).is_some_and(|found| found.path == cgroup);
    let names = Names::of(cgroup);
    names.unit.is_some_and(|unit| unit != names.name) && !is_container()
}

/// The name of the machine whose cgroup this is: what systemd-machined registered (systemd-nspawn, virtual machines; up to
/// systemd 257 as `machine-<name>.scope`, later as `<name>.scope`) or what `machinectl start` runs. `None` if it is none's, or is
/// within one. Engines put the monitors of their containers beside, which are none.
pub(crate) fn machine(cgroup: &str) -> Option<String> {
    let (parent, name) = cgroup.rsplit_once('/')?;
    let scope = || {
        let scope = name.strip_suffix(".scope").filter(|scope| !scope.contains("conmon"))?;
        Some(scope.strip_prefix("machine-").unwrap_or(scope))
    };
    let service = || name.strip_prefix("systemd-nspawn@")?.strip_suffix(".service");
    let escaped = scope().or_else(service).filter(|_| parent.ends_with("/machine.slice"))?;
    Some(unhex(escaped)).filter(|name| !name.is_empty())
}

/// systemd writes `\x2d` for a character that means something in a unit's name, systemd.unit(5). What is not ASCII stays as it is.
fn unhex(escaped: &str) -> String {
    let mut parts = escaped.split("\\x");
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(u8::is_ascii_graphic) {
            Some(byte) => {
                name.push(char::from(byte));
                name.push_str(&part[2..]);
            }
            None => name.extend(["\\x", part]),
        }
    }
    name
}

/// systemd puts `_` before names that the kernel would take for its own files (`cg_escape` in its sources).
fn unescaped(name: &str) -> &str {
    name.strip_prefix('_').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stop_at_slashes() {
        for (pattern, cgroup, expect) in [
            ("system.slice/*.service", "/system.slice/a.service", true),
            ("/system.slice/*.service", "/system.slice/a.service", true),
            ("system.slice/*.service", "/system.slice/b.slice/a.service", false),
            ("system.slice/**/*.service", "/system.slice/b.slice/a.service", true),
            ("user.slice/**", "/user.slice/user-0.slice/session-1.scope", true),
            ("user.slice/**", "/user.slice/user-0.slice", false),
            ("user.slice/*.slice", "/user.slice/user-0.slice", true),
            ("user.slice/**", "/user.slice", false),
            ("default/*", "/default/web", true),
            ("{a,b/c}", "/b/c", true),
            (r"a/x\\x2d.service", r"/a/x\x2d.service", true),
            ("**", "/anything/at/all", true),
        ] {
            let include = Include::new(&[pattern]).unwrap();
            assert_eq!(include.matches(cgroup), expect, "{pattern} {cgroup}");
        }
    }

    #[test]
    fn a_walk_goes_only_where_matches_can_be() {
        let include = Include::new(&["a.slice/b.slice/*.service", "c/**"]).unwrap();
        for (cgroup, enter) in [
            ("/a.slice", true),
            ("/a.slice/b.slice", true),
            ("/a.slice/b.slice/x.service", false),
            ("/a.slice/other", false),
            ("/a.slic", false),
            ("/c", true),
            ("/c/x/y/z", true),
            (&format!("/c/{}", "a".repeat(64)), false),
            ("/c/machine.slice", true),
            ("/c/machine.slice/machine-a.scope", false),
        ] {
            assert_eq!(include.choose(cgroup).enter, enter, "{cgroup}");
        }
        assert!(Include::new(&["{d,e/f}"]).unwrap().choose("/e").enter);
    }

    #[test]
    fn what_is_no_pattern_says_what_to_do() {
        for (pattern, expect) in [
            ("", "names no cgroup; write a path"),
            ("/", "names no cgroup; write a path"),
            ("a/{b", "bad glob: "),
            ("a/[b", "put a \\ before"),
            (&"x".repeat(PATTERN_BYTES_MAX + 1), "split it into several"),
        ] {
            let error = Include::new(&[pattern]).unwrap_err().to_string();
            assert!(error.contains("in cgroup.include") && error.contains(expect), "{error}");
        }
    }

    #[test]
    fn units_and_slices() {
        for (cgroup, name, unit, slice) in [
            ("/system.slice/ssh.service", "ssh.service", "ssh.service", "system.slice"),
            (
                "/user.slice/user-0.slice/session-1.scope",
                "session-1.scope",
                "session-1.scope",
                "user-0.slice",
            ),
            (
                "/user.slice/user-0.slice/user@0.service/app.slice/x.service",
                "x.service",
                "x.service",
                "app.slice",
            ),
            (
                "/user.slice/user-0.slice/user@0.service/init.scope",
                "init.scope",
                "init.scope",
                "user-0.slice",
            ),
            (
                "/machine.slice/systemd-nspawn@a.service/payload",
                "payload",
                "systemd-nspawn@a.service",
                "machine.slice",
            ),
            ("/user.slice/user-0.slice", "user-0.slice", "user-0.slice", "user.slice"),
            ("/user.slice/plain", "plain", "", "user.slice"),
            // A machine is no unit.
            (r"/machine.slice/machine-a\x2db.scope", "a-b", "", ""),
            (r"/machine.slice/machine-a\x2d.scope", "a-", "", ""),
            (r"/machine.slice/machine-\xff\x0a\x+1\x.scope", r"\xff\x0a\x+1\x", "", ""),
            ("/machine.slice/systemd-nspawn@a-b.service", "a-b", "", ""),
            ("/machine.slice/a-b.scope", "a-b", "", ""),
            (
                "/machine.slice/libpod-conmon-1f.scope",
                "libpod-conmon-1f.scope",
                "libpod-conmon-1f.scope",
                "machine.slice",
            ),
            ("/machine.slice/machine-.scope", "machine-.scope", "machine-.scope", "machine.slice"),
            ("/system.slice/machine-a.scope", "machine-a.scope", "machine-a.scope", "system.slice"),
            ("/system.slice/_cgroup.service", "cgroup.service", "cgroup.service", "system.slice"),
            ("/default/web", "web", "", ""),
            ("/init.scope", "init.scope", "init.scope", ""),
        ] {
            let text = |text: &str| (!text.is_empty()).then(|| Arc::from(text));
            let expect = Names { name: name.into(), unit: text(unit), slice: text(slice) };
            assert_eq!(Names::of(cgroup), expect, "{cgroup}");
        }
    }
}
