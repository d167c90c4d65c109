//! What libtest printed, read again.

use crate::step::Counts;

/// What the tests said in one host.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// As libtest counts.
    pub(crate) counts: Counts,
    /// The failed tests' names, in the order in which they ended.
    pub(crate) failed: Vec<String>,
    /// What libtest says of those that failed.
    pub(crate) said: String,
    /// Why the host ended before its tests, if it did.
    pub(crate) broken: Option<String>,
}

impl Results {
    /// Did everything pass?
    pub(crate) fn ok(&self) -> bool {
        self.counts.failed == 0 && self.broken.is_none()
    }

    /// Reads what libtest printed. Without its summary, the tests that have ended count, and one that failed: what cut them off.
    pub(crate) fn read(output: &str, broken: Option<String>) -> Self {
        let mut results = Self { broken, ..Self::default() };
        let mut ended = Counts::default();
        let mut summarized = false;
        results.said = output.split_once("\nfailures:\n").map_or("", |(_, said)| said).trim().to_owned();
        for line in output.lines() {
            results.counts.add_libtest_line(line);
            summarized |= line.starts_with("test result: ");
            match test_line(line) {
                Some((_, "ok")) => ended.passed += 1,
                Some((_, "ignored")) => ended.skipped += 1,
                Some((name, "FAILED")) => {
                    ended.failed += 1;
                    results.failed.push(name.to_owned());
                }
                _ => {}
            }
        }
        if !summarized {
            results.counts = Counts { failed: ended.failed + 1, ..ended };
            results.broken.get_or_insert_with(|| "ended before libtest's summary".to_owned());
        }
        results
    }
}

/// The name and the verdict of a line such as `test oom::a_kill ... ok`.
pub(crate) fn test_line(line: &str) -> Option<(&str, &str)> {
    let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some((name, verdict.split([',', ' ']).next().unwrap_or(verdict)))
}

/// One test, as libtest tells of it with `--show-output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Its path, such as `oom::a_kill`.
    pub(crate) name: String,
    /// Did it pass?
    pub(crate) ok: bool,
    /// What it said of itself: lines that begin with [`LEFT`] or [`SKIPPED`].
    pub(crate) notes: Vec<String>,
}

/// How a test says that one of its statements is left to other hosts.
pub(crate) const LEFT: &str = "left out, ";
/// How a test says that it did not run.
pub(crate) const SKIPPED: &str = "skipped: ";

/// How the test of `doctor` says what the host is.
const HOST: &str = "host: ";

/// The engine and the cgroups of the host that printed this.
pub(crate) fn host(output: &str) -> Option<&str> {
    output.lines().find_map(|line| line.strip_prefix(HOST))
}

/// All tests of a run.
pub(crate) fn verdicts(output: &str) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = output
        .lines()
        .filter_map(test_line)
        .map(|(name, verdict)| Verdict { name: name.to_owned(), ok: verdict == "ok", notes: Vec::new() })
        .collect();
    let mut speaker = None;
    for line in output.lines() {
        if let Some(name) = line.strip_prefix("---- ").and_then(|line| line.strip_suffix(" stdout ----")) {
            speaker = verdicts.iter().position(|verdict| verdict.name == name);
        } else if (line.starts_with(LEFT) || line.starts_with(SKIPPED))
            && let Some(at) = speaker
        {
            verdicts[at].notes.push(line.to_owned());
        }
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str =
        "running 3 tests\ntest a::one ... ok\ntest a::two ... FAILED\ntest b ... ignored, slow\n";

    #[test]
    fn results_are_those_of_the_summary_with_the_failed_ones_names() {
        let text = format!(
            "{OUTPUT}\nfailures:\n\n---- a::two stdout ----\nit is 3\n\ntest result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured\n"
        );
        let results = Results::read(&text, None);
        assert_eq!(results.counts, Counts { passed: 1, failed: 1, skipped: 1 });
        assert_eq!(results.failed, ["a::two"]);
        assert!(results.said.starts_with("---- a::two stdout ----\nit is 3"), "{}", results.said);
        assert_eq!(results.broken, None);
    }

    #[test]
    fn what_was_cut_off_counts_as_failed() {
        let results = Results::read(OUTPUT, Some("hung".to_owned()));
        assert_eq!(results.counts, Counts { passed: 1, failed: 2, skipped: 1 });
        assert_eq!(results.broken.as_deref(), Some("hung"));
        assert!(!Results::read("", None).ok(), "a guest that never ran a test");
        assert!(!Results::read("test result: ok. 1 passed; 0 failed;", Some("panic".to_owned())).ok());
    }

    #[test]
    fn the_host_is_what_the_doctors_test_says() {
        let output = "---- cli::doctor stdout ----\nhost: Docker 28, cgroup v2\n";
        assert_eq!(host(output), Some("Docker 28, cgroup v2"));
        assert_eq!(host(OUTPUT), None);
    }

    #[test]
    fn what_a_test_said_of_itself_is_its_own() {
        let text = "test a::one ... ok\ntest a::two ... ok\ntest b ... FAILED\n\nsuccesses:\n\n---- a::two stdout ----\n\
            some words\nskipped: no loop device\n\n---- a::one stdout ----\nleft out, as it is slow: that it is soon\n";
        let verdict = |name: &str, ok, notes: &[&str]| Verdict {
            name: name.to_owned(),
            ok,
            notes: notes.iter().map(|note| (*note).to_owned()).collect(),
        };
        let left = format!("{LEFT}as it is slow: that it is soon");
        assert_eq!(
            verdicts(text),
            [
                verdict("a::one", true, &[&left]),
                verdict("a::two", true, &["skipped: no loop device"]),
                verdict("b", false, &[])
            ]
        );
    }
}
