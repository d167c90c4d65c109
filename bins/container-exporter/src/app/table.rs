//! A snapshot as a table for people: what `docker stats --no-stream` shows, plus limits and state.

use collector_core::{
    ContainerSample, Reading, Snapshot,
    catalogue::{self, Dimension, RowId, ids},
};

const HEADINGS: [&str; 11] = [
    "NAME",
    "ID",
    "STATE",
    "CPU %",
    "CPUS",
    "MEM USAGE / LIMIT",
    "MEM %",
    "NET I/O",
    "BLOCK I/O",
    "PIDS",
    "PIDS MAX",
];
/// Columns from here on are numbers, aligned to the right.
const FIRST_NUMBER: usize = 3;
/// What cannot be known.
const UNKNOWN: &str = "--";

/// The table, running containers first.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut containers: Vec<&ContainerSample> = snapshot.containers.iter().collect();
    containers
        .sort_by_key(|one| (!one.container.state.has_processes(), one.container.display_name().to_owned()));
    let rows: Vec<[String; 11]> = containers.into_iter().map(row).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = line(&HEADINGS.map(str::to_owned), &widths);
    for row in &rows {
        text.push_str(&line(row, &widths));
    }
    text
}

fn line(cells: &[String; 11], widths: &[usize; 11]) -> String {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if column > 0 {
            text.push_str("   ");
        }
        let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
        if column < FIRST_NUMBER {
            text.push_str(cell);
            text.push_str(&padding);
        } else {
            text.push_str(&padding);
            text.push_str(cell);
        }
    }
    let mut text = text.trim_end().to_owned();
    text.push('\n');
    text
}

fn row(one: &ContainerSample) -> [String; 11] {
    let known = |row: RowId| one.sample.get(row).value();
    let number = |row: RowId| known(row).map(|value| value.as_f64());
    let percent = |row: RowId| number(row).map_or(UNKNOWN.to_owned(), |value| format!("{value:.2}%"));
    let memory = match (number(ids::MEMORY_WORKING_SET), number(ids::MEMORY_LIMIT)) {
        (None, _) => UNKNOWN.to_owned(),
        (Some(used), None) => format!("{} / {UNKNOWN}", binary(used)),
        (Some(used), Some(limit)) => format!("{} / {}", binary(used), binary(limit)),
    };
    let pair = |first: RowId, second: RowId| match (sum(one, first), sum(one, second)) {
        (Some(first), Some(second)) => format!("{} / {}", decimal(first), decimal(second)),
        _ => UNKNOWN.to_owned(),
    };
    let count = |row: RowId| number(row).map_or(UNKNOWN.to_owned(), |value| format!("{value:.0}"));
    let limit = match one.sample.get(ids::THREADS_LIMIT_OWN) {
        Reading::Max => "max".to_owned(),
        _ => count(ids::THREADS_MAX),
    };
    [
        clean(one.container.display_name()),
        one.container.id.short().to_owned(),
        one.container.state.as_str().to_owned(),
        percent(ids::CPU_USAGE_PERCENT),
        number(ids::CPU_LIMIT).map_or(UNKNOWN.to_owned(), |cores| format!("{cores:.2}")),
        memory,
        percent(ids::MEMORY_USAGE_PERCENT),
        pair(ids::NETWORK_RECEIVE_BYTES, ids::NETWORK_TRANSMIT_BYTES),
        pair(ids::FS_READS_BYTES, ids::FS_WRITES_BYTES),
        count(ids::THREADS),
        limit,
    ]
}

/// Over all devices or interfaces; `None` where there is none.
fn sum(one: &ContainerSample, row: RowId) -> Option<f64> {
    let (dimension, column): (Dimension, usize) = catalogue::get().column(row)?;
    let values = one.sample.table(dimension).entries.iter().filter_map(|entry| entry.cells[column].value());
    values.map(|value| value.as_f64()).reduce(|sum, value| sum + value)
}

/// A name can hold what moves a terminal's cursor.
fn clean(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn binary(bytes: f64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
}

fn decimal(bytes: f64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB"])
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= step && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    match unit {
        0 => format!("{value:.0}{}", units[0]),
        _ => format!("{value:.2}{}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, expect) in
            [(0.0, "0B"), (1023.0, "1023B"), (1536.0, "1.50KiB"), (67_108_864.0, "64.00MiB")]
        {
            assert_eq!(binary(bytes), expect);
        }
        assert_eq!(decimal(1_234_567.0), "1.23MB");
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(clean("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
