//! From the bytes of one file to its slots and rows.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::key::{Controller, Field, Place, Scale, Units, Version};
use crate::parse::{self, DISKSTATS_COLUMNS, Malformed, NET_DEV_COLUMNS};
use crate::slot::{Absence, Slot, Table};

/// What is wanted of one file.
#[derive(Debug)]
pub(crate) struct FileFill {
    place: Place,
    format: Format,
    keys: Vec<KeyWant>,
    others: Vec<OtherWant>,
    parts: Vec<Part>,
}

/// How a file with rows is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Nested,
    /// v1 `blkio.*`: no device at all means that the kernel does not count.
    NestedCounted,
    /// One value a line.
    Pairs,
    /// By memory node.
    Numa,
    NetDev,
    Diskstats,
}

/// A keyed line.
#[derive(Debug)]
struct KeyWant {
    key: &'static str,
    nth: usize,
    scale: Scale,
    slot: usize,
    hint: Hint,
}

/// In which line a key stood last time. Only ever a guess that the reader checks, so a relaxed atomic does, and cgroups with
/// different files cost searches, not wrong numbers.
#[derive(Debug)]
struct Hint(AtomicU32);

impl Hint {
    fn line(&self) -> usize {
        self.0.load(Ordering::Relaxed) as usize
    }

    fn set(&self, line: usize) {
        self.0.store(line as u32, Ordering::Relaxed);
    }
}

/// A scalar that is not a keyed line.
#[derive(Debug)]
struct OtherWant {
    field: Field,
    scale: Scale,
    slot: usize,
}

/// The columns of one table that stand in this file.
#[derive(Debug)]
struct Part {
    table: usize,
    columns: Vec<ColumnWant>,
}

#[derive(Debug)]
struct ColumnWant {
    name: &'static str,
    /// Its place among the columns of a format that has no names in the file.
    position: Option<usize>,
    scale: Scale,
    column: usize,
}

/// Line starts; reused from file to file.
pub(crate) type Lines = Vec<u32>;

impl FileFill {
    pub(crate) fn new(version: Version, place: Place) -> FileFill {
        let format = match place {
            Place::Proc("net/dev") | Place::System("net/dev") => Format::NetDev,
            Place::System("diskstats") => Format::Diskstats,
            Place::Cgroup(Controller::Misc | Controller::Dmem, _) => Format::Pairs,
            Place::Cgroup(Controller::Blkio, file) if file.ends_with("_device") => Format::Pairs,
            Place::Cgroup(Controller::Memory, "memory.numa_stat") => Format::Numa,
            Place::Cgroup(Controller::Blkio, _) if version == Version::V1 => Format::NestedCounted,
            _ => Format::Nested,
        };
        FileFill { place, format, keys: Vec::new(), others: Vec::new(), parts: Vec::new() }
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    pub(crate) fn add_scalar(&mut self, field: Field, scale: Scale, slot: usize) {
        let (key, nth) = match field {
            Field::Key(key) => (key, 0),
            Field::KeyIndex(key, nth) => (key, nth),
            _ => return self.others.push(OtherWant { field, scale, slot }),
        };
        // Most files keep the order in which a catalogue names their keys; where not, the first read corrects the guess.
        let hint = Hint(AtomicU32::new(self.keys.len() as u32));
        self.keys.push(KeyWant { key, nth, scale, slot, hint });
    }

    pub(crate) fn add_column(&mut self, table: usize, name: &'static str, scale: Scale, column: usize) {
        let position = match self.format {
            Format::NetDev => NET_DEV_COLUMNS.iter().position(|known| *known == name),
            Format::Diskstats => DISKSTATS_COLUMNS.iter().position(|known| *known == name),
            Format::Nested | Format::NestedCounted | Format::Pairs | Format::Numa => None,
        };
        let want = ColumnWant { name, position, scale, column };
        match self.parts.iter_mut().find(|part| part.table == table) {
            Some(part) => part.columns.push(want),
            None => self.parts.push(Part { table, columns: vec![want] }),
        }
    }

    /// Fills everything wanted of this file from its bytes.
    pub(crate) fn fill(
        &self,
        bytes: &[u8],
        units: Units,
        lines: &mut Lines,
        slots: &mut [Slot],
        tables: &mut [Table],
    ) {
        if !self.keys.is_empty() {
            self.fill_keys(bytes, units, lines, slots);
        }
        for want in &self.others {
            if let Some(slot) = slots.get_mut(want.slot) {
                *slot = want.read(bytes, units);
            }
        }
        for part in &self.parts {
            if let Some(table) = tables.get_mut(part.table) {
                part.fill(self.format, bytes, units, table);
            }
        }
    }

    /// Says of everything wanted of this file why it is missing.
    pub(crate) fn absent(&self, reason: Absence, slots: &mut [Slot], tables: &mut [Table]) {
        let wanted = self.keys.iter().map(|want| want.slot).chain(self.others.iter().map(|want| want.slot));
        for slot in wanted {
            if let Some(slot) = slots.get_mut(slot) {
                *slot = Slot::Absent(reason);
            }
        }
        for part in &self.parts {
            if let Some(table) = tables.get_mut(part.table) {
                part.absent(reason, table);
            }
        }
    }

    fn fill_keys(&self, bytes: &[u8], units: Units, lines: &mut Lines, slots: &mut [Slot]) {
        let empty = bytes.is_empty();
        if !empty {
            line_starts(bytes, lines);
        }
        for want in &self.keys {
            let Some(slot) = slots.get_mut(want.slot) else { continue };
            *slot = if empty { Slot::Absent(Absence::Malformed) } else { want.read(bytes, units, lines) };
        }
    }
}

fn line_starts(bytes: &[u8], lines: &mut Lines) {
    lines.clear();
    lines.push(0);
    lines.extend(memchr::memchr_iter(b'\n', bytes).map(|newline| newline as u32 + 1));
    if bytes.ends_with(b"\n") {
        lines.pop();
    }
}

impl KeyWant {
    fn read(&self, bytes: &[u8], units: Units, lines: &Lines) -> Slot {
        let key = self.key.as_bytes();
        let at = |start: &u32| parse::after_key(&bytes[*start as usize..], key);
        let rest = match lines.get(self.hint.line()).and_then(at) {
            Some(rest) => rest,
            None => {
                // That nothing was found is not remembered: a search costs about a nanosecond per line.
                let found = lines.iter().enumerate().find_map(|(line, start)| Some((line, at(start)?)));
                let Some((line, rest)) = found else { return Slot::Absent(Absence::NoKey) };
                self.hint.set(line);
                rest
            }
        };
        if self.nth == 0 && rest.first().is_some_and(u8::is_ascii_digit) {
            return parse::reading(rest, self.scale, units);
        }
        let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
        let word = parse::words(line).nth(self.nth);
        word.map_or(Slot::Absent(Absence::Malformed), |word| parse::reading(word, self.scale, units))
    }
}

impl OtherWant {
    fn read(&self, bytes: &[u8], units: Units) -> Slot {
        let scaled =
            |value| self.scale.apply(value, units).map_or(Slot::Absent(Absence::Malformed), Slot::Value);
        match self.field {
            Field::Whole => parse::whole(bytes, self.scale, units),
            Field::Index(nth) => match parse::words(bytes).nth(nth) {
                Some(word) => parse::reading(word, self.scale, units),
                None => Slot::Absent(Absence::Malformed),
            },
            Field::Psi(line) => self.named(parse::psi_total(bytes, line), bytes.is_empty(), units),
            Field::ProtocolPair(protocol, name) => {
                self.named(parse::protocol_pair(bytes, protocol, name), bytes.is_empty(), units)
            }
            Field::NamedPair(protocol, name) => {
                self.named(parse::named_pair(bytes, protocol, name), bytes.is_empty(), units)
            }
            Field::HexColumn(name) => self.named(parse::hex_column(bytes, name), bytes.is_empty(), units),
            Field::Lines => scaled(parse::lines(bytes).filter(|line| !line.is_empty()).count() as u64),
            Field::CpuList => match parse::cpu_count(bytes) {
                // An unset v1 `cpuset.cpus` names none; a container on no CPU there cannot be.
                Ok(0) => Slot::Absent(Absence::NoKey),
                Ok(count) => scaled(count),
                Err(Malformed) => Slot::Absent(Absence::Malformed),
            },
            Field::Key(_) | Field::KeyIndex(..) | Field::Column(_) => Slot::Absent(Absence::NoKey),
        }
    }

    /// What was looked for by its name, which a file that is not empty may lack.
    fn named(&self, found: Result<Option<u64>, Malformed>, is_empty: bool, units: Units) -> Slot {
        match found {
            Ok(Some(value)) => {
                self.scale.apply(value, units).map_or(Slot::Absent(Absence::Malformed), Slot::Value)
            }
            Ok(None) if is_empty => Slot::Absent(Absence::Malformed),
            Ok(None) => Slot::Absent(Absence::NoKey),
            Err(Malformed) => Slot::Absent(Absence::Malformed),
        }
    }
}

impl Part {
    fn fill(&self, format: Format, bytes: &[u8], units: Units, table: &mut Table) {
        // The rows of this file so far: the guess for where the next one stands in the table.
        let mut next = 0;
        match format {
            Format::NetDev => {
                parse::net_dev(bytes, |name, cells| self.row(name, cells, units, table, &mut next))
            }
            Format::Diskstats => {
                parse::diskstats(bytes, |name, cells| self.row(name, cells, units, table, &mut next))
            }
            Format::Pairs => self.pairs(bytes, units, table),
            Format::Numa => self.numa(bytes, units, table),
            Format::Nested | Format::NestedCounted => {
                let devices = self.nested(bytes, units, table);
                if format == Format::NestedCounted && devices == 0 {
                    return self.absent(Absence::NotCounted, table);
                }
            }
        }
        table.file_read();
    }

    fn row(
        &self,
        name: &[u8],
        cells: &[Result<u64, Malformed>],
        units: Units,
        table: &mut Table,
        next: &mut usize,
    ) {
        let Some(place) = table.place_of(name, *next) else { return };
        *next = place + 1;
        for want in &self.columns {
            let Some(position) = want.position else { continue };
            let value = cells.get(position).copied().unwrap_or(Err(Malformed));
            let scaled = value.ok().and_then(|value| want.scale.apply(value, units));
            table.set(place, want.column, scaled.map_or(Slot::Absent(Absence::Malformed), Slot::Value));
        }
    }

    /// Returns the number of rows with a wanted column.
    fn nested(&self, bytes: &[u8], units: Units, table: &mut Table) -> usize {
        let mut next_column = 0;
        let mut current: Option<(*const u8, usize)> = None;
        let mut rows = 0;
        parse::nested(bytes, |row, column, value| {
            // Columns keep their order from row to row: try the one after the last hit first.
            let columns = &self.columns;
            let wanted = (next_column..columns.len())
                .chain(0..next_column)
                .find(|&index| columns[index].name.as_bytes() == column);
            let Some(index) = wanted else { return };
            next_column = if index + 1 == columns.len() { 0 } else { index + 1 };
            let place = match current {
                Some((start, place)) if start == row.as_ptr() => place,
                _ => {
                    let guess = current.map_or(0, |(_, place)| place + 1);
                    let Some(place) = table.place_of(row, guess) else { return };
                    rows += 1;
                    current = Some((row.as_ptr(), place));
                    place
                }
            };
            let want = &columns[index];
            table.set(place, want.column, parse::reading(value, want.scale, units));
        });
        rows
    }

    fn pairs(&self, bytes: &[u8], units: Units, table: &mut Table) {
        let mut next = 0;
        parse::pairs(bytes, |key, value| {
            for want in &self.columns {
                let row = match (want.name, key.strip_suffix(want.name.as_bytes())) {
                    ("", _) => Some(key),
                    (_, rest) => rest.and_then(|rest| rest.strip_suffix(b".")),
                };
                let Some(place) = row.and_then(|row| table.place_of(row, next)) else { continue };
                next = place + 1;
                table.set(place, want.column, parse::reading(value, want.scale, units));
            }
        });
    }

    fn numa(&self, bytes: &[u8], units: Units, table: &mut Table) {
        let mut next = 0;
        parse::numa_stat(bytes, |node, kind, value| {
            let wanted = self.columns.iter().filter(|want| want.name.as_bytes() == kind);
            for want in wanted {
                let Some(place) = table.place_of(node, next) else { return };
                next = place + 1;
                table.set(place, want.column, parse::reading(value, want.scale, units));
            }
        });
    }

    fn absent(&self, reason: Absence, table: &mut Table) {
        for want in &self.columns {
            table.column_missing(want.column, reason);
        }
    }
}
