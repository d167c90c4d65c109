//! `docs/reliability.md` names a test and a metric for each fault, and docs/adr/0010 a test for each obligation of an OTLP
//! client: they are looked for.

use std::fs;
use std::path::{Path, PathBuf};

const E2E: &str = "bins/container-exporter/tests/e2e";

/// One fault of the table.
struct Fault {
    line: String,
    /// The crate, or `e2e`, and the test's path there.
    tests: Vec<(String, String)>,
    metric: Option<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The words in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn faults() -> Vec<Fault> {
    let text = read("docs/reliability.md");
    let table = text.lines().skip_while(|line| !line.starts_with("| fault |")).skip(2);
    let fault = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, _, proof, metric, _log] = cells.as_slice() else { panic!("not five cells: {line}") };
        let tests = tests_of(proof);
        assert!(!tests.is_empty(), "no test: {line}");
        let metric = (*metric != "–").then(|| {
            quoted(metric).first().unwrap_or_else(|| panic!("neither a metric nor –: {line}")).to_string()
        });
        Fault { line: line.to_owned(), tests, metric }
    };
    table.take_while(|line| line.starts_with('|')).map(fault).collect()
}

/// The tests that a cell names, each with the crate (or `e2e`) that stands before it or before those before it.
fn tests_of(proof: &str) -> Vec<(String, String)> {
    let mut place = String::new();
    let test = |(at, part): (usize, &str)| {
        let said = part.trim_matches([',', ';', ' ']);
        match at % 2 {
            1 => return Some((place.clone(), said.to_owned())),
            _ if !said.is_empty() => said.clone_into(&mut place),
            _ => {}
        }
        None
    };
    proof.split('`').enumerate().filter_map(test).collect()
}

/// Whether there is such a test in that crate.
fn is_there(place: &str, test: &str) -> bool {
    if place == "e2e" {
        let (module, name) = test.rsplit_once("::").expect("a module and a test");
        return has_test(&read(&format!("{E2E}/{}.rs", module.replace("::", "/"))), name);
    }
    let folder = ["crates", "bins", "examples"].map(|kind| root().join(kind).join(place));
    let folder = folder.iter().find(|folder| folder.is_dir()).unwrap_or_else(|| panic!("no crate {place}"));
    if test.ends_with(".rs") {
        return folder.join(test).is_file();
    }
    let texts = sources(folder).into_iter();
    texts.filter_map(|file| fs::read_to_string(file).ok()).any(|text| has_test(&text, test))
}

/// All Rust files below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let below = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    entries.flat_map(below).filter(|path| path.extension().is_some_and(|kind| kind == "rs")).collect()
}

/// Whether a source has a test of this name, and not only a function. Those of properties take something.
fn has_test(text: &str, name: &str) -> bool {
    let Some(at) = text.find(&format!("fn {name}(")) else { return false };
    let attributes = text[..at].lines().rev().take(3).map(str::trim_start);
    attributes.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
}

#[test]
fn every_fault_has_a_test_that_is_there() {
    let faults = faults();
    assert!(faults.len() > 20, "the table is read");
    for Fault { line, tests, .. } in faults {
        for (place, test) in tests {
            assert!(is_there(&place, &test), "no test {test}: {line}");
        }
    }
}

/// What a service's spans become, and what an OTLP client owes: the last or the third of their cells.
#[test]
fn spans_and_obligations_have_tests_that_are_there() {
    for (file, head, cell, rows) in [
        ("docs/reliability.md", "| what breaks |", 2, 5),
        ("docs/adr/0010-grpc-by-hyper.md", "| obligation |", 1, 11),
    ] {
        let text = read(file);
        let table = text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
        let table: Vec<&str> = table.take_while(|line| line.starts_with('|')).collect();
        assert!(table.len() >= rows, "{file}: {} rows", table.len());
        for line in table {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let tests = tests_of(cells[cell]);
            assert!(!tests.is_empty(), "no test: {line}");
            for (place, test) in tests {
                assert!(is_there(&place, &test), "no test {test}: {line}");
            }
        }
    }
}

#[test]
fn every_fault_shows_in_a_metric_that_is_there() {
    // Generated from the catalogue, which another test holds it against.
    let metrics = read("docs/metrics.md");
    for Fault { line, metric, .. } in faults() {
        let name = |metric: &str| metric.split('{').next().unwrap_or_default().to_owned();
        let is_there = |metric: String| metrics.contains(&format!("`{}`", name(&metric)));
        assert!(metric.is_none_or(is_there), "no such metric: {line}");
    }
}
