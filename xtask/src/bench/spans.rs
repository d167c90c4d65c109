//! The lines of spans: of the wrappers around a service's, and of the exporter's own.

use super::figure::{Row, Shape};
use super::{Bench, figure};
use crate::error::{Error, Result};
use crate::process::{self, When};

/// What the wrappers add to the CPU time of a span, by how many threads make them.
pub(super) fn wrappers(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut text = String::new();
    for _ in 0..bench.rounds(5, 1) {
        let mut program = process::command(&bench.programs.spans, &[]);
        text += &process::succeed(&mut program, When::Working)?.text();
    }
    let mut rows = Vec::new();
    for (threads, budget) in [(1, 100e-9), (2, 150e-9)] {
        let nanos = |name: &str| numbers(&text, threads, name);
        let (plain, added) = (figure(nanos("plain"))?, figure(nanos("wrappers"))?);
        let what = match threads {
            1 => "CPU that the wrappers add to a span, export included".to_owned(),
            _ => format!("the same, {threads} threads at once"),
        };
        let note = format!("a span without them takes {:.0} ns", plain.median * 1e9);
        rows.push(Row::new(what, Shape::Nanoseconds, added, budget).note(note));
    }
    match rows.iter().all(|row| row.figure.rounds > 1) {
        true => Ok(rows),
        false => Err(Error::failed("the example `bench_spans` printed too few rounds")),
    }
}

/// What a span of the exporter's own costs where nobody wants it.
pub(super) fn own(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut text = String::new();
    for _ in 0..bench.rounds(3, 1) {
        let mut program = process::command(&bench.programs.own_spans, &[]);
        text += &process::succeed(&mut program, When::Working)?.text();
    }
    let median = |name| figure(numbers(&text, 1, name)).map(|figure| figure.median * 1e9);
    let note = format!(
        "{:.0} ns where traces are sent, but not this one; {:.0} ns where this one is",
        median("unsampled")?,
        median("sampled")?
    );
    let what = "CPU of a span of the exporter where no traces are sent".to_owned();
    let row = Row::new(what, Shape::Nanoseconds, figure(numbers(&text, 1, "off"))?, 10e-9).note(note);
    match row.figure.rounds > 1 {
        true => Ok(vec![row]),
        false => Err(Error::failed("the example `bench_own_spans` printed too few rounds")),
    }
}

/// Seconds that stand behind a word, of the lines of that many threads.
fn numbers(text: &str, threads: usize, name: &str) -> Vec<f64> {
    let begin = format!("threads {threads} ");
    let number = |line: &str| {
        let mut words =
            line.strip_prefix(&begin)?.split_whitespace().skip_while(|word| *word != name).skip(1);
        words.next()?.parse::<f64>().ok().map(|nanos| nanos / 1e9)
    };
    text.lines().filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_behind_their_names() {
        let text = "threads 1 plain 300 counted 350 wrappers 50\nthreads 2 plain 1 counted 2 wrappers 1\nx\n";
        assert_eq!(numbers(text, 1, "plain"), [300e-9]);
        assert_eq!(numbers(text, 1, "wrappers"), [50e-9]);
        assert_eq!(numbers(text, 2, "counted"), [2e-9]);
        assert!(numbers(text, 3, "plain").is_empty());
    }
}
