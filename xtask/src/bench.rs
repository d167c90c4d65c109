//! `cargo xtask bench`: the budgets of cost, measured.
//!
//! Everything is measured in one run on one machine, as a quotient wherever there is something to divide by, several times,
//! in CPU time and not in time on the clock: so figures hold on a machine that is busy with other things. What is
//! measured is the binary as it is shipped (the profile `dist`).

mod cgroups;
mod counting;
mod exporter;
mod figure;
mod fleet;
mod floor;
mod groups;
pub(crate) mod http;
mod machine;
mod peer;
mod proc;
mod programs;
mod real;
mod report;
mod simulated;
mod spans;

use std::process::ExitCode;

use crate::bench::figure::{Figure, Row, table};
use crate::bench::fleet::Lab;
use crate::bench::programs::Programs;
use crate::cli::BenchOptions;
use crate::error::{Error, Result};

/// What all lines know.
struct Bench<'a> {
    options: &'a BenchOptions,
    programs: Programs,
    rows: Vec<Row>,
    /// Lines that could not be measured, and why.
    missing: Vec<String>,
}

/// The lines, for `--only`.
const LINES: [&str; 16] = [
    "size",
    "encoding",
    "otlp",
    "memory",
    "memory-cgroups",
    "growth",
    "spans",
    "own-spans",
    "collection",
    "scrape",
    "all-groups",
    "groups",
    "response",
    "start",
    "visibility",
    "requests",
];

/// It and those behind it take real containers, and so an engine.
const FIRST_ON_CONTAINERS: &str = "collection";

impl Bench<'_> {
    fn wants(&self, line: &str) -> bool {
        self.options.peer.is_empty()
            && (self.options.only.is_empty() || self.options.only.iter().any(|only| only == line))
    }

    /// That many rounds, or fewer where it shall be quick.
    fn rounds(&self, many: usize, few: usize) -> usize {
        if self.options.quick { few } else { many }
    }

    /// Measures a line, if it is wanted. One that fails leaves the others.
    fn line(&mut self, name: &str, measure: impl FnOnce(&Self) -> Result<Vec<Row>>) -> Result<()> {
        if !self.wants(name) {
            return Ok(());
        }
        eprintln!("── {name}");
        match measure(self) {
            Ok(rows) => {
                eprint!("{}", table(&rows));
                self.rows.extend(rows);
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => {
                eprintln!("not measured: {error}");
                self.missing.push(format!("{name}: {error}"));
            }
        }
        Ok(())
    }
}

/// Measures, prints the table, and writes it where that is wanted. The exit code says whether all that was wanted was
/// measured and is within its budget.
pub(crate) fn run(options: &BenchOptions) -> Result<ExitCode> {
    if let Some(unknown) = options.only.iter().find(|only| !LINES.contains(&only.as_str())) {
        return Err(Error::failed(format!(
            "there is no line `{unknown}`; the lines are {}",
            LINES.join(", ")
        )));
    }
    eprintln!("building the binary as it is shipped (some minutes where it is not up to date)");
    let mut bench = Bench { options, programs: Programs::build()?, rows: Vec::new(), missing: Vec::new() };
    bench.line("size", simulated::size)?;
    bench.line("encoding", simulated::encoding)?;
    bench.line("otlp", simulated::otlp)?;
    bench.line("memory", simulated::memory)?;
    bench.line("memory-cgroups", simulated::memory_of_cgroups)?;
    bench.line("growth", simulated::growth)?;
    bench.line("spans", spans::wrappers)?;
    bench.line("own-spans", spans::own)?;
    let mut on_containers_too = LINES.iter().skip_while(|line| **line != FIRST_ON_CONTAINERS);
    if !options.peer.is_empty() || on_containers_too.any(|line| bench.wants(line)) {
        let lab = Lab::open(options.engine.as_deref())?;
        let done = on_containers(&mut bench, &lab);
        lab.close()?;
        done?;
    }
    let Bench { rows, missing, .. } = bench;
    let over = rows.iter().filter(|row| row.is_over()).count();
    let text = table(&rows);
    println!("{}\n\n{text}", machine::describe());
    missing.iter().for_each(|line| println!("not measured: {line}"));
    println!("{} measured, {over} over budget, {} not measured", rows.len(), missing.len());
    if options.write && !rows.is_empty() {
        let text = if options.only.is_empty() { text } else { report::merged("table", &text)? };
        report::write("table", &format!("{}\n\n{text}", report::caption(&machine::describe())))?;
    }
    Ok(if over == 0 && missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The lines that take real containers.
fn on_containers(bench: &mut Bench<'_>, lab: &Lab) -> Result<()> {
    let fleet = fleet::Fleet::start(lab, real::CONTAINERS)?;
    for peer in &bench.options.peer {
        peer::compare(bench, lab, &fleet, peer)?;
    }
    bench.line("collection", real::collection)?;
    bench.line("scrape", |bench| real::scrape(bench, lab, &fleet))?;
    bench.line("all-groups", |bench| groups::everything(bench, lab, &fleet))?;
    bench.line("groups", |bench| groups::costs(bench, lab, &fleet))?;
    bench.line("response", |bench| real::response(bench, lab, &fleet))?;
    bench.line("start", |bench| real::start(bench, lab, &fleet))?;
    bench.line("visibility", |bench| real::visibility(bench, lab, &fleet))?;
    bench.line("requests", |bench| real::requests(bench, lab, &fleet))
}

/// The figure of rounds that there were.
fn figure(rounds: Vec<f64>) -> Result<Figure> {
    Figure::of(rounds).ok_or_else(|| Error::failed("nothing was measured"))
}
