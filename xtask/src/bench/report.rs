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
    fn the_page_has_the_markers() {
        let page = include_str!("../../../docs/performance.md");
        for name in ["table", "peers"] {
            assert!(replace(page, name, "").is_some(), "{name}");
        }
    }
}
