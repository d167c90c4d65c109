//! The steps of a run: their outcome, their time, and the last line.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// One thing that passed.
    pub(crate) const PASSED: Self = Self { passed: 1, failed: 0, skipped: 0 };
    /// One thing that failed.
    pub(crate) const FAILED: Self = Self { passed: 0, failed: 1, skipped: 0 };
    /// One thing that was not tried.
    pub(crate) const SKIPPED: Self = Self { passed: 0, failed: 0, skipped: 1 };

    /// Adds the numbers of a libtest summary line (`test result: ok. 3 passed; 0 failed; 1 ignored; …`); other lines
    /// add nothing.
    pub(crate) fn add_libtest_line(&mut self, line: &str) {
        let Some((_, summary)) = line.split_once("test result: ") else { return };
        for part in summary.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(word)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// Adds them up.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// The last line of a run: `N passed, N failed`, and the skipped ones if there are any.
    pub(crate) fn line(self) -> String {
        let mut line = format!("{} passed, {} failed", self.passed, self.failed);
        if self.skipped > 0 {
            let _ = write!(line, ", {} skipped", self.skipped);
        }
        line
    }
}

/// How a step ended, when it did not break.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It counts as one that passed; a remark for the table, or an empty one.
    Passed(String),
    /// It counts as one that failed, for this reason.
    Failed(String),
    /// It could not be tried: why, and what to do.
    Skipped(String),
    /// It ran tests. `ok` is what the command itself said: a build that breaks runs no test and must fail too.
    Tests { counts: Counts, ok: bool },
}

/// One finished step.
#[derive(Debug)]
struct Row {
    name: &'static str,
    counts: Counts,
    remark: String,
    took: Duration,
}

/// Everything that has run so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    interrupted: bool,
}

impl Report {
    /// Runs one step, prints how it ended, and goes on whatever that is; after Ctrl-C nothing more is started.
    pub(crate) fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<Outcome>) {
        if self.interrupted {
            return;
        }
        println!("── {name}");
        let start = Instant::now();
        let (counts, remark) = match work() {
            Ok(Outcome::Passed(remark)) => (Counts::PASSED, remark),
            Ok(Outcome::Failed(reason)) => (Counts::FAILED, reason),
            Ok(Outcome::Skipped(reason)) => (Counts::SKIPPED, reason),
            Ok(Outcome::Tests { mut counts, ok }) => {
                let mut remark = counts.line();
                if !ok && counts.failed == 0 {
                    counts.add(Counts::FAILED);
                    "did not build, or ended before its summary".clone_into(&mut remark);
                }
                (counts, remark)
            }
            Err(Error::Interrupted) => {
                self.interrupted = true;
                (Counts::FAILED, "interrupted".to_owned())
            }
            Err(Error::Failed(reason)) => (Counts::FAILED, reason),
        };
        let row = Row { name, counts, remark, took: start.elapsed() };
        println!("   {} {name} in {}{}\n", verdict(counts), seconds(row.took), after_dash(&row.remark));
        self.rows.push(row);
    }

    /// Was a step cut off by a signal?
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// The sum over all steps.
    pub(crate) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        self.rows.iter().for_each(|row| sum.add(row.counts));
        sum
    }

    /// The table of all steps.
    pub(crate) fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let mut table = String::new();
        for row in &self.rows {
            let first_line = row.remark.lines().next().unwrap_or_default();
            let _ = writeln!(
                table,
                "{:7} {:width$} {:>8}  {first_line}",
                verdict(row.counts),
                row.name,
                seconds(row.took)
            );
        }
        table
    }
}

fn verdict(counts: Counts) -> &'static str {
    match counts {
        Counts { failed: 1.., .. } => "FAILED",
        Counts { passed: 0, skipped: 1.., .. } => "skipped",
        _ => "ok",
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn after_dash(remark: &str) -> String {
    if remark.is_empty() { String::new() } else { format!(" — {remark}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtest_summaries_add_up() {
        let mut counts = Counts::default();
        for line in [
            "running 5 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.25s",
            "5 passed in a test's own words",
        ] {
            counts.add_libtest_line(line);
        }
        assert_eq!(counts, Counts { passed: 4, failed: 2, skipped: 1 });
    }

    #[test]
    fn the_last_line_names_skipped_only_where_there_are_any() {
        assert_eq!(Counts { passed: 2, failed: 0, skipped: 0 }.line(), "2 passed, 0 failed");
        assert_eq!(Counts { passed: 2, failed: 1, skipped: 3 }.line(), "2 passed, 1 failed, 3 skipped");
    }

    #[test]
    fn a_broken_build_fails_though_no_test_failed() {
        let mut report = Report::default();
        report.step("tests", || Ok(Outcome::Tests { counts: Counts::default(), ok: false }));
        assert_eq!(report.counts(), Counts::FAILED);
        assert!(report.table().starts_with("FAILED  tests"), "{}", report.table());
    }

    #[test]
    fn nothing_starts_after_an_interruption() {
        let mut report = Report::default();
        report.step("one", || Err(Error::Interrupted));
        report.step("two", || panic!("must not run"));
        assert!(report.interrupted());
        assert_eq!(report.counts(), Counts::FAILED);
    }
}
