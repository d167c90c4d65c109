//! Slots and tables: where readings land, and why one is missing.

use std::fmt;

/// Why a number is not there: a closed list, fit for a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Absence {
    /// The controller is not mounted (v1) or not enabled for this cgroup (v2).
    NoController,
    /// The kernel does not offer this file.
    NoFile,
    /// The file lacks the key.
    NoKey,
    /// This cgroup version has no such number.
    NoSourceOnVersion,
    /// The container has no process.
    NotRunning,
    /// The container has no network.
    NoNetwork,
    /// The container uses the host's network.
    HostNetwork,
    /// The network belongs to another container, which has the numbers.
    SharedNetwork,
    /// The kernel could count it and does not: v1 block I/O on disks where no throttle rule was ever set, waits of threads without
    /// `CONFIG_SCHED_INFO`.
    NotCounted,
    /// The read did not end before the deadline.
    Timeout,
    /// The file may not be opened.
    PermissionDenied,
    /// The file holds something else than the format says, or a number past its range.
    Malformed,
    /// There is no limit.
    Unlimited,
    /// A sandboxed runtime: the host's cgroup does not hold the container's numbers.
    Sandboxed,
    /// The container lives in a namespace that cannot be seen from here.
    NotReachable,
    /// It was not asked for.
    NotCollected,
    /// The engine has yet to tell what runs the container: in a sandboxed runtime's cgroup are not its numbers.
    NotInspected,
    /// The numbers come from the engine's stats API, which has no such number.
    NotInStatsApi,
    /// The numbers are looked for in the background (the engine's stats API, a GPU's library), and the newest are too old to
    /// be shown.
    Stale,
    /// There is more to look at than the bounds on number or time allow: processes, descriptors, files.
    TooMany,
    /// It was read, and left out: with it the group had more series than its budget allows.
    OverBudget,
    /// This build of the program leaves out what would read it.
    NotBuilt,
    /// A GPU's management library is not there, or not fit.
    NoLibrary,
    /// The library is there, and no driver of the kernel's answers it.
    NoDriver,
    /// The device, or its library, does not tell it.
    NotSupported,
}

impl Absence {
    /// Every reason, in declaration order.
    pub const ALL: [Absence; 25] = [
        Absence::NoController,
        Absence::NoFile,
        Absence::NoKey,
        Absence::NoSourceOnVersion,
        Absence::NotRunning,
        Absence::NoNetwork,
        Absence::HostNetwork,
        Absence::SharedNetwork,
        Absence::NotCounted,
        Absence::Timeout,
        Absence::PermissionDenied,
        Absence::Malformed,
        Absence::Unlimited,
        Absence::Sandboxed,
        Absence::NotReachable,
        Absence::NotCollected,
        Absence::NotInspected,
        Absence::NotInStatsApi,
        Absence::Stale,
        Absence::TooMany,
        Absence::OverBudget,
        Absence::NotBuilt,
        Absence::NoLibrary,
        Absence::NoDriver,
        Absence::NotSupported,
    ];

    /// The reason in `snake_case`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Absence::NoController => "no_controller",
            Absence::NoFile => "no_file",
            Absence::NoKey => "no_key",
            Absence::NoSourceOnVersion => "no_source_on_version",
            Absence::NotRunning => "not_running",
            Absence::NoNetwork => "no_network",
            Absence::HostNetwork => "host_network",
            Absence::SharedNetwork => "shared_network",
            Absence::NotCounted => "not_counted",
            Absence::Timeout => "timeout",
            Absence::PermissionDenied => "permission_denied",
            Absence::Malformed => "malformed",
            Absence::Unlimited => "unlimited",
            Absence::Sandboxed => "sandboxed_runtime",
            Absence::NotReachable => "not_reachable",
            Absence::NotCollected => "not_collected",
            Absence::NotInspected => "not_inspected",
            Absence::NotInStatsApi => "not_in_stats_api",
            Absence::Stale => "stale",
            Absence::TooMany => "too_many",
            Absence::OverBudget => "over_budget",
            Absence::NotBuilt => "not_built",
            Absence::NoLibrary => "no_library",
            Absence::NoDriver => "no_driver",
            Absence::NotSupported => "not_supported",
        }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// No number, and why.
    Absent(Absence),
    /// A limit that is not set: `max`, v1's largest page count, `-1` of `cfs_quota_us`.
    Max,
    /// The number: nanoseconds, bytes or a count.
    Value(u64),
}

impl Default for Slot {
    fn default() -> Slot {
        Slot::Absent(Absence::NotCollected)
    }
}

impl Slot {
    /// The number, if there is one.
    #[must_use]
    pub const fn value(self) -> Option<u64> {
        match self {
            Slot::Value(value) => Some(value),
            Slot::Absent(_) | Slot::Max => None,
        }
    }

    /// Why there is no number; `None` for a number and for `max`.
    #[must_use]
    pub const fn absence(self) -> Option<Absence> {
        match self {
            Slot::Absent(reason) => Some(reason),
            Slot::Max | Slot::Value(_) => None,
        }
    }

    /// Whether it is `max`.
    #[must_use]
    pub const fn is_max(self) -> bool {
        matches!(self, Slot::Max)
    }
}

/// One row of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Row {
    /// What the row is about: `254:0`, `eth0`.
    pub key: String,
    /// One cell per column, in the order of the plan.
    pub cells: Vec<Slot>,
}

/// Readings per device, per interface and the like. It keeps its allocations from one read to the next.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Rows past `used` are spare allocations.
    rows: Vec<Row>,
    used: usize,
    /// `used` before [`Table::reset`]. The keys of those rows differ from one another; spare ones further on may repeat them.
    used_before: usize,
    /// Whether each row so far has the key that stood in its place before [`Table::reset`]. Then the next row, if it too
    /// has the old key, cannot be there already, and a steady file costs no search.
    steady: bool,
    /// What a cell of a new row holds, by column.
    blank: Vec<Slot>,
    absence: Option<Absence>,
    /// Whether one of the files it is made of could be read.
    was_read: bool,
}

impl Table {
    /// Rows per table at most; the kernel's further ones are dropped.
    pub const ROWS_MAX: usize = 4096;

    /// A table without rows or columns.
    #[must_use]
    pub fn new() -> Table {
        Table::default()
    }

    /// Why the whole table could not be read; `None` if it was read, even if it has no rows.
    #[must_use]
    pub fn absence(&self) -> Option<Absence> {
        self.absence
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.blank.len()
    }

    /// The rows, in the file's order.
    pub fn iter(&self) -> std::slice::Iter<'_, Row> {
        self.rows[..self.used].iter()
    }

    /// The cells of a row.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[Slot]> {
        self.iter().find(|row| row.key == key).map(|row| row.cells.as_slice())
    }

    /// Removes the rows, keeps their memory, and sets the number of columns; cells of new rows start as
    /// [`Absence::NoKey`].
    pub fn reset(&mut self, columns: usize) {
        self.used_before = self.used;
        self.used = 0;
        self.steady = true;
        self.absence = None;
        self.was_read = false;
        self.blank.clear();
        self.blank.resize(columns, Slot::Absent(Absence::NoKey));
    }

    /// Says why the whole table is missing.
    pub fn set_absence(&mut self, reason: Absence) {
        self.absence = Some(reason);
    }

    /// Says why one column is missing, in the rows so far and those to come.
    pub fn set_column_absence(&mut self, column: usize, reason: Absence) {
        let slot = Slot::Absent(reason);
        if let Some(blank) = self.blank.get_mut(column) {
            *blank = slot;
        }
        for row in &mut self.rows[..self.used] {
            if let Some(cell) = row.cells.get_mut(column) {
                *cell = slot;
            }
        }
    }

    /// Notes that one of the table's files was read: it is not missing as a whole.
    pub(crate) fn file_read(&mut self) {
        self.was_read = true;
        self.absence = None;
    }

    /// Notes that the file of one column is missing. If all are, the first reason is the table's; that there is no such number
    /// says less than why a file is missing.
    pub(crate) fn column_missing(&mut self, column: usize, reason: Absence) {
        self.set_column_absence(column, reason);
        if !self.was_read && matches!(self.absence, None | Some(Absence::NoSourceOnVersion)) {
            self.absence = Some(reason);
        }
    }

    /// The cells of the row with that key, which is added if need be; `None` once the table is full.
    pub fn row(&mut self, key: &str) -> Option<&mut [Slot]> {
        let place = self.place_of(key.as_bytes(), 0)?;
        Some(&mut self.rows[place].cells)
    }

    /// The index of the row with that key, added if need be. `guess` is where it stood last time or in the file before:
    /// files keep their order, so the search is rarely needed. `None` once the table is full or if the key is not UTF-8.
    pub(crate) fn place_of(&mut self, key: &[u8], guess: usize) -> Option<usize> {
        if guess < self.used && self.rows[guess].key.as_bytes() == key {
            return Some(guess);
        }
        let same_as_before = self.used < self.used_before && self.rows[self.used].key.as_bytes() == key;
        if !(self.steady && same_as_before) {
            if let Some(place) = self.iter().position(|row| row.key.as_bytes() == key) {
                return Some(place);
            }
            self.steady = false;
        }
        if self.used == Table::ROWS_MAX {
            return None;
        }
        if self.used == self.rows.len() {
            self.rows.push(Row::default());
        }
        let row = &mut self.rows[self.used];
        if row.key.as_bytes() != key {
            row.key.clear();
            row.key.push_str(std::str::from_utf8(key).ok()?);
        }
        row.cells.clear();
        row.cells.extend_from_slice(&self.blank);
        self.used += 1;
        Some(self.used - 1)
    }

    /// Sets one cell; ignored outside the table.
    pub(crate) fn set(&mut self, row: usize, column: usize, slot: Slot) {
        if let Some(cell) = self.rows[..self.used].get_mut(row).and_then(|row| row.cells.get_mut(column)) {
            *cell = slot;
        }
    }
}

impl PartialEq for Table {
    /// Equal readings; spare memory does not count.
    fn eq(&self, other: &Table) -> bool {
        self.absence == other.absence && self.columns() == other.columns() && self.iter().eq(other.iter())
    }
}

impl Eq for Table {}

impl<'a> IntoIterator for &'a Table {
    type Item = &'a Row;
    type IntoIter = std::slice::Iter<'a, Row>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_distinct_words() {
        let mut words: Vec<_> = Absence::ALL.iter().map(|reason| reason.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Absence::ALL.len());
        assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    }

    #[test]
    fn a_table_forgets_its_rows_but_not_its_memory() {
        let mut table = Table::new();
        table.reset(2);
        table.row("a").unwrap()[1] = Slot::Value(1);
        table.row("b").unwrap()[0] = Slot::Value(2);
        assert_eq!(table.get("a").unwrap(), [Slot::Absent(Absence::NoKey), Slot::Value(1)]);
        assert_eq!(table.len(), 2);
        let cells = table.iter().next().unwrap().cells.as_ptr();

        table.reset(2);
        assert!(table.is_empty());
        assert_eq!(table.get("a"), None);
        assert_eq!(table.row("c").unwrap(), [Slot::Absent(Absence::NoKey); 2]);
        assert_eq!(table.iter().next().unwrap().cells.as_ptr(), cells);
    }

    /// Its row moves up, and what it left behind in the spare rows is not taken for another.
    #[test]
    fn a_row_before_it_goes_and_a_key_of_two_lines_stays_one_row() {
        let mut table = Table::new();
        for keys in [&["a", "b"][..], &["b"], &["b", "b"]] {
            table.reset(1);
            // Guesses that lead nowhere, as behind the last row.
            keys.iter().for_each(|key| assert!(table.place_of(key.as_bytes(), usize::MAX).is_some()));
        }
        assert_eq!(table.len(), 1, "{table:?}");
    }

    #[test]
    fn a_table_is_bounded_and_refuses_foreign_bytes() {
        let mut table = Table::new();
        table.reset(1);
        assert_eq!(table.place_of(b"\xff", 0), None);
        assert!(table.is_empty());
        for row in 0..Table::ROWS_MAX {
            assert!(table.row(&row.to_string()).is_some());
        }
        assert!(table.row("one more").is_none());
    }

    #[test]
    fn a_missing_column_shows_in_old_and_new_rows() {
        let mut table = Table::new();
        table.reset(2);
        table.row("a");
        table.set_column_absence(1, Absence::NoFile);
        table.row("b");
        for row in &table {
            assert_eq!(row.cells[1], Slot::Absent(Absence::NoFile));
        }
    }
}
