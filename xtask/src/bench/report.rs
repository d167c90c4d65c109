//! `docs/performance.md`: text by hand, and tables between markers.

use std::fs;

use crate::error::{Context as _, Error, Result};

const FILE: &str = "docs/performance.md";

/// What stands above a table: where and how it was measured.
pub(crate) fn caption(machine: &str) -> String {
    format!("Measured on: {machine}.")
}

/// Puts the text between the markers of that name.
pub(crate) fn write(name: &str, text: &str) -> Result<()> {
    let page = fs::read_to_string(FILE).context(|| format!("failed to read {FILE}"))?;
    let page = replace(&page, name, text)
        .ok_or_else(|| Error::failed(format!("{FILE} has no lines `{}` and `{}`", begin(name), end(name))))?;
    fs::write(FILE, page).context(|| format!("failed to write {FILE}"))?;
    eprintln!("written to {FILE}");
    Ok(())
}

/// The table between the markers of that name with these rows in the places of those that measure the same, and behind
/// them what is new: for a run of some lines only.
pub(crate) fn merged(name: &str, fresh: &str) -> Result<String> {
    let page = fs::read_to_string(FILE).context(|| format!("failed to read {FILE}"))?;
    let (_, rest) = page.split_once(&begin(name)).unwrap_or_default();
    let (old, _) = rest.split_once(&end(name)).unwrap_or_default();
    Ok(merge(old, fresh))
}

fn merge(old: &str, fresh: &str) -> String {
    let what = |row: &str| row.split('|').nth(1).map(str::trim).unwrap_or_default().to_owned();
    let mut fresh: Vec<&str> = fresh.lines().collect();
    let mut rows: Vec<&str> = Vec::new();
    for row in old.lines().filter(|line| line.starts_with('|')) {
        match fresh.iter().position(|new| what(new) == what(row)) {
            Some(at) => rows.push(fresh.remove(at)),
            None => rows.push(row),
        }
    }
    rows.extend(fresh);
    rows.join("\n")
}

fn begin(name: &str) -> String {
    format!("<!-- bench {name}: begin -->")
}

fn end(name: &str) -> String {
    format!("<!-- bench {name}: end -->")
}

fn replace(page: &str, name: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(&begin(name))?;
    let (_, after) = rest.split_once(&end(name))?;
    Some(format!("{before}{}\n{}\n{}{after}", begin(name), text.trim(), end(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let page = "a\n<!-- bench x: begin -->\nold\n<!-- bench x: end -->\nb\n";
        let new = replace(page, "x", "new\n").expect("markers");
        assert_eq!(new, "a\n<!-- bench x: begin -->\nnew\n<!-- bench x: end -->\nb\n");
        assert_eq!(replace(page, "y", "new"), None);
    }

    #[test]
    fn some_lines_take_the_places_of_theirs() {
        let head = "| what | median |\n|---|---|\n";
        let old = format!("Measured on: x.\n\n{head}| a | 1 |\n| b | 2 |");
        let new = merge(&old, &format!("{head}| b | 3 |\n| c | 4 |\n"));
        assert_eq!(new, format!("{head}| a | 1 |\n| b | 3 |\n| c | 4 |"));
    }

    #[test]
    fn the_page_has_the_markers() {
        let page = include_str!("../../../docs/performance.md");
        for name in ["table", "peers"] {
            assert!(replace(page, name, "").is_some(), "{name}");
        }
    }
}
