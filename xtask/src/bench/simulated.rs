//! The lines that need no engine: size, encoding, memory, growth.

use std::fs;

use super::cgroups::Cgroups;
use super::exporter::Exporter;
use super::figure::{Figure, Row, Shape};
use super::{Bench, figure, proc};
use crate::error::{Context as _, Error, Result};
use crate::process::{self, When};

/// Scrapes before memory is looked at.
const SCRAPES: usize = 20;
/// Every scrape is a collection, though they come fast.
const FRESH: (&str, &str) = ("CONTAINER_EXPORTER__METRICS__MAX_AGE_MS", "0");

pub(super) fn size(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let path = &bench.programs.exporter;
    let bytes = fs::metadata(path).context(|| format!("failed to look at {}", path.display()))?.len();
    Ok(vec![Row::new("binary, stripped", Shape::Megabytes, Figure::exact(bytes as f64), 10e6)])
}

pub(super) fn encoding(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut quotients = Vec::new();
    let mut line = String::new();
    for _ in 0..bench.rounds(7, 3) {
        let mut program = process::command(&bench.programs.throughput, &[]);
        let text = process::succeed(&mut program, When::Working)?.text();
        let ours = text.lines().find(|line| line.trim_start().starts_with("Text004"));
        let quotient = ours.and_then(|line| line.rsplit_once("1/")?.1.trim().parse::<f64>().ok());
        let quotient =
            quotient.ok_or_else(|| Error::failed("the example `throughput` printed no quotient"))?;
        quotients.push(1.0 / quotient);
        let median = |line: Option<&str>| {
            line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or("?").to_owned()
        };
        line = format!("{} ms ÷ {} ms in the last round", median(ours), median(text.lines().next()));
    }
    let what = "text encoding ÷ the prometheus crate's, 60,000 series";
    Ok(vec![Row::new(what, Shape::Fraction, figure(quotients)?, 1.0 / 15.0).note(line)])
}

pub(super) fn otlp(bench: &Bench<'_>) -> Result<Vec<Row>> {
    const CONTAINERS: &str = "10000";
    let example = &bench.programs.otlp_throughput;
    let (mut quotients, mut above) = (Vec::new(), Vec::new());
    let (mut times, mut kept) = (String::new(), 0.0);
    for _ in 0..bench.rounds(3, 1) {
        let mut program = process::command(example, &[CONTAINERS]);
        let text = process::succeed(&mut program, When::Working)?.text();
        let line = |name: &str| text.lines().find(|line| line.trim_start().starts_with(name));
        let theirs = line("SDK");
        let quotient = theirs.and_then(|line| line.rsplit_once("1/")?.1.trim().parse::<f64>().ok());
        let quotient = quotient.ok_or_else(|| Error::failed("`otlp_throughput` printed no quotient"))?;
        quotients.push(1.0 / quotient);
        let median = |line: Option<&str>| {
            line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or("?").to_owned()
        };
        times = format!("{} ms ÷ {} ms of CPU in the last round", median(line("Resource")), median(theirs));

        let mut program = process::command(example, &[CONTAINERS, "memory"]);
        // What is freed leaves the process, so that what is in use can be seen from outside.
        program.env("MALLOC_MMAP_THRESHOLD_", "131072");
        let text = process::succeed(&mut program, When::Working)?.text();
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [most, between] = numbers[..] else {
            return Err(Error::failed("`otlp_throughput` printed no two sizes"));
        };
        above.push(most);
        kept = between;
    }
    let what = "OTLP encoding ÷ the SDK's path, 10,000 containers × 40 points";
    let memory = "memory of an OTLP export above idle, 10,000 containers × 40 points";
    Ok(vec![
        Row::new(what, Shape::Fraction, figure(quotients)?, 1.0 / 50.0).note(times),
        Row::new(memory, Shape::Megabytes, figure(above)?, 10e6)
            .note(format!("{:.1} MB kept between exports", kept / 1e6)),
    ])
}

pub(super) fn memory(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (containers, budget) in [(100, 12e6), (1_000, 30e6), (10_000, 200e6)] {
        let mut resident = Vec::new();
        let mut peak = 0.0_f64;
        for _ in 0..bench.rounds(3, 1) {
            let source = format!("sim:{containers}");
            let (now, most) = resident_after_scrapes(bench, &["--source", &source], containers)?;
            resident.push(now);
            peak = peak.max(most);
        }
        let what = format!("resident memory, {containers} simulated containers, after {SCRAPES} scrapes");
        let note = format!("at most {:.1} MB", peak / 1e6);
        rows.push(Row::new(what, Shape::Megabytes, figure(resident)?, budget).note(note));
    }
    Ok(rows)
}

pub(super) fn memory_of_cgroups(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let _cgroups = Cgroups::make(1_000)?;
    let (resident, peak) = resident_after_scrapes(bench, &["--source", "cgroup"], 1_000)?;
    let note = format!("at most {:.1} MB", peak / 1e6);
    let what = format!("resident memory, 1,000 real cgroups found by scanning, after {SCRAPES} scrapes");
    Ok(vec![Row::new(what, Shape::Megabytes, Figure::exact(resident), 30e6).note(note)])
}

/// Bytes resident after some scrapes, and at most, of which each second one is packed.
fn resident_after_scrapes(bench: &Bench<'_>, arguments: &[&str], containers: usize) -> Result<(f64, f64)> {
    let environment = [FRESH, ("CONTAINER_EXPORTER__SERVER__COMPRESSION", "always")];
    let mut exporter = Exporter::ours(&bench.programs.exporter, arguments, &environment)?;
    // Some of the simulated ones do not run.
    let mut scraper = exporter.until(|page| page.samples() > containers * 30)?;
    for scrape in 0..SCRAPES {
        exporter.cost(&mut scraper, scrape % 2 == 1)?;
    }
    Ok(proc::resident_bytes(exporter.pid()))
}

pub(super) fn growth(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut exporters = Vec::new();
    for source in ["sim:1000", "sim:10000"] {
        let mut exporter = Exporter::ours(&bench.programs.exporter, &["--source", source], &[FRESH])?;
        let scraper = exporter.until(|page| page.samples() > 10_000)?;
        exporters.push((exporter, scraper));
    }
    let [(small, to_small), (large, to_large)] = exporters.as_mut_slice() else {
        return Err(Error::failed("two exporters were to be compared"));
    };
    let mut rounds = Vec::new();
    let (mut thousand, mut ten_thousand) = (Vec::new(), Vec::new());
    small.cost(to_small, false)?;
    for _ in 0..bench.rounds(15, 5) {
        let mut sum = 0.0;
        // As many containers on both sides, so that both are as long exposed to what else the machine does.
        for _ in 0..10 {
            sum += small.cost(to_small, false)?;
        }
        let one = large.cost(to_large, false)?;
        rounds.push(one / (sum / 10.0));
        thousand.push(sum / 10.0);
        ten_thousand.push(one);
    }
    let note = format!(
        "{:.1} ms and {:.1} ms of CPU a scrape",
        figure(thousand)?.median * 1e3,
        figure(ten_thousand)?.median * 1e3
    );
    let what = "CPU of a scrape, 10,000 ÷ 1,000 simulated containers";
    Ok(vec![Row::new(what, Shape::Ratio, figure(rounds)?, 11.0).note(note)])
}
