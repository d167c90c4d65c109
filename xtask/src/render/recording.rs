//! What Prometheus answered the dashboards' queries once: made again by the end-to-end test, and held against the dashboards of today.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::error::{Context as _, Error, Result};
use crate::metadata;
use crate::process;

/// The recordings, one for each dashboard.
pub(super) const FOLDER: &str = "xtask/render/recorded";
/// Names a folder to the test, which writes its recordings there.
const VARIABLE: &str = "CONTAINER_EXPORTER_E2E_RECORD";
const TEST: [&str; 8] = [
    "test",
    "-p",
    "container-exporter",
    "--test",
    "e2e",
    "--",
    "--nocapture",
    "every_query_of_every_dashboard_is_answered",
];

/// Lets the end-to-end test of the dashboards record, and takes over what it wrote.
///
/// # Errors
///
/// The test failed, or wrote nothing for one of the dashboards: without an engine or Prometheus it is skipped.
pub(super) fn record(dashboards: &[String]) -> Result<()> {
    let fresh = metadata::read()?.target_directory.join("render/recorded");
    match std::fs::remove_dir_all(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context(|| format!("failed to empty {}", fresh.display()));
        }
        _ => {}
    }
    let finished = process::show(process::cargo(&TEST).env(VARIABLE, &fresh))?;
    if !finished.status.success() {
        return Err(Error::failed("the dashboards' test failed, so nothing was recorded; it says above why"));
    }
    for name in dashboards {
        let made = fresh.join(format!("{name}.json"));
        if !made.exists() {
            return Err(Error::failed(format!(
                "the test recorded nothing for {name}: it says above what it lacks, such as an engine (CONTAINER_EXPORTER_E2E_ENGINE)"
            )));
        }
    }
    for name in dashboards {
        let (made, kept) =
            (fresh.join(format!("{name}.json")), Path::new(FOLDER).join(format!("{name}.json")));
        std::fs::copy(&made, &kept).context(|| format!("failed to copy {}", made.display()))?;
    }
    Ok(())
}

/// The panels of a dashboard (and its marks) with a query that the recording was made without, by heading: they are drawn without data.
pub(super) fn newer_than(dashboard: &Value, recording: &Value) -> Vec<(String, BTreeSet<String>)> {
    let mut found: Vec<(String, BTreeSet<String>)> = Vec::new();
    let mut heading = "the top";
    let mut note = |heading: &str, title: &str| match found.iter_mut().find(|(of, _)| of == heading) {
        Some((_, titles)) => drop(titles.insert(title.to_owned())),
        None => found.push((heading.to_owned(), BTreeSet::from([title.to_owned()]))),
    };
    for mark in elements(&dashboard["annotations"]["list"]) {
        let is_unknown = mark["expr"].as_str().is_some_and(|query| recording["range"].get(query).is_none());
        if is_unknown {
            note(heading, text(&mark["name"]));
        }
    }
    for element in elements(&dashboard["panels"]) {
        if element["type"] == "row" {
            heading = text(&element["title"]);
        }
        let is_unknown =
            |panel: &Value| elements(&panel["targets"]).iter().any(|it| !is_recorded(it, recording));
        for panel in std::iter::once(element).chain(elements(&element["panels"])) {
            if is_unknown(panel) {
                note(heading, text(&panel["title"]));
            }
        }
    }
    found
}

fn is_recorded(target: &Value, recording: &Value) -> bool {
    let kind = if target["instant"] == true { "instant" } else { "range" };
    recording[kind].get(text(&target["expr"])).is_some()
}

fn elements(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn panels_that_are_newer_than_the_recording_are_named_with_their_heading() {
        let panel = |title: &str, query: &str, instant: bool| json!({"type": "stat", "title": title, "targets": [{"expr": query, "instant": instant}]});
        let dashboard = json!({
            "annotations": {"list": [{"name": "built in"}, {"name": "Starts", "expr": "starts"}]},
            "panels": [
                panel("Up", "up", true),
                panel("Up over time", "up", false),
                {"type": "row", "title": "More", "panels": [panel("Old", "old", true), panel("New", "new", true)]},
            ],
        });
        let recording = json!({"instant": {"up": [], "old": []}, "range": {}});
        let named: Vec<(String, Vec<String>)> = newer_than(&dashboard, &recording)
            .into_iter()
            .map(|(heading, titles)| (heading, titles.into_iter().collect()))
            .collect();
        let of = |heading: &str, titles: &[&str]| {
            (heading.to_owned(), titles.iter().map(|title| (*title).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(named, [of("the top", &["Starts", "Up over time"]), of("More", &["New"])]);
    }
}
