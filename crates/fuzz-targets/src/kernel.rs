//! The kernel's numbers: single values, lists, flat and nested keys, pressure, tables.
//!
//! The parsers cut bytes with care for every nanosecond; here the same is done with `str::split` and `u64::from_str`.

use cgroup_reader::parse::{self, DISKSTATS_COLUMNS, Malformed, NET_DEV_COLUMNS};
use cgroup_reader::{
    Absence, At, Controller, Field, Place, Plan, PsiLine, Row, Scale, Slot, SourceKey, Table, Units, Version,
    parse::TaskState,
};

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];
const MALFORMED: Slot = Slot::Absent(Absence::Malformed);

/// What [`parse::number`] reads, the plain way.
pub(crate) fn number(word: &str) -> Result<u64, Malformed> {
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let value = word.parse::<u64>().ok().filter(|value| digits && *value <= i64::MAX as u64);
    value.ok_or(Malformed)
}

pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(BLANKS).filter(|word| !word.is_empty())
}

/// The lines as the kernel's readers see them: a last line needs no newline, a last newline begins no line.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.split('\n').filter(move |_| !text.is_empty())
}

/// One scalar of one file, by a plan; read twice, since a plan remembers where a key stood.
fn scalar(field: Field, data: &[u8]) -> Slot {
    let at = At::new(Place::Cgroup(Controller::Memory, "file"), field, Scale::One);
    let plan = Plan::compile(Version::V2, &[(SourceKey::v2(at), 0)], &[]);
    let read = || {
        let mut slots = [Slot::Absent(Absence::NotCollected)];
        plan.begin(&mut slots, &mut []);
        plan.fill(0, data, Units::default(), &mut slots, &mut []);
        slots[0]
    };
    let slot = read();
    assert_ne!(slot, Slot::Absent(Absence::NotCollected), "{field:?} was not filled");
    assert_eq!(read(), slot, "{field:?} read again");
    slot
}

/// A number in the file's text, above all that a v1 file says for "no limit".
fn reading(word: &str) -> Slot {
    match number(word) {
        Ok(value) if value >= 0x7fff_ffff_ffff_0000 => Slot::Max,
        Ok(value) => Slot::Value(value),
        Err(Malformed) if word == "max" => Slot::Max,
        Err(Malformed) => MALFORMED,
    }
}

/// Files of one value or of a few words: `memory.current`, `cpu.max`, `cgroup.procs`.
pub(crate) fn single(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        scalar(Field::Whole, data);
        return;
    };
    let all: Vec<&str> = words(text).collect();
    let whole = match all.as_slice() {
        ["-1"] => Slot::Max,
        [word] => reading(word),
        _ => MALFORMED,
    };
    assert_eq!(scalar(Field::Whole, data), whole, "{text:?}");
    for nth in 0..3 {
        let expected = all.get(nth).map_or(MALFORMED, |word| reading(word));
        assert_eq!(scalar(Field::Index(nth), data), expected, "word {nth} of {text:?}");
    }
    let count = lines(text).filter(|line| !line.is_empty()).count() as u64;
    assert_eq!(scalar(Field::Lines, data), Slot::Value(count), "{text:?}");
    let list: Result<Vec<u64>, Malformed> = words(text).map(number).collect();
    assert_eq!(parse::u64_list(data), list, "{text:?}");
    for word in all {
        assert_eq!(parse::number(word.as_bytes()), number(word), "{word:?}");
    }
}

/// `cpuset.cpus`: written from the ranges it is read as the same, and the count is that of its members.
pub(crate) fn cpu_list(data: &[u8]) {
    let Ok(ranges) = parse::cpu_list(data) else {
        assert_eq!(parse::cpu_count(data), Err(Malformed));
        return;
    };
    let written: Vec<String> = ranges
        .iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    assert_eq!(parse::cpu_list(written.join(",").as_bytes()), Ok(ranges.clone()));
    assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
    let members = ranges.iter().map(|(first, last)| u64::from(*last) - u64::from(*first) + 1).sum();
    assert_eq!(parse::cpu_count(data), Ok(members));
    let expected = if members == 0 { Slot::Absent(Absence::NoKey) } else { Slot::Value(members) };
    assert_eq!(scalar(Field::CpuList, data), expected);
}

/// Flat-keyed files: `memory.stat`, `cpu.stat`, `memory.events`, `/proc/meminfo`, `/proc/stat`.
pub(crate) fn flat(data: &[u8]) {
    const KEYS: [&str; 6] = ["usage_usec", "anon", "oom_kill", "MemTotal", "cpu", "total_rss"];
    for key in KEYS {
        scalar(Field::Key(key), data);
        scalar(Field::KeyIndex(key, 3), data);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let expected: Vec<(&str, Result<u64, Malformed>)> = lines(text)
        .filter_map(|line| {
            let mut words = words(line);
            let key = words.next()?;
            Some((key.strip_suffix(':').unwrap_or(key), words.next().map_or(Err(Malformed), number)))
        })
        .collect();
    let found = parse::flat(data).map(|(key, value)| (key.to_vec(), value));
    assert!(found.eq(expected.iter().map(|(key, value)| (key.as_bytes().to_vec(), *value))), "{text:?}");
    for key in KEYS {
        let starts = |line: &&str| {
            let rest = line.strip_prefix(key);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', ':']))
        };
        let line = lines(text).find(starts);
        for nth in [0, 3] {
            let slot = scalar(if nth == 0 { Field::Key(key) } else { Field::KeyIndex(key, nth) }, data);
            let expected = match line {
                _ if data.is_empty() => MALFORMED,
                None => Slot::Absent(Absence::NoKey),
                Some(line) => {
                    let rest = line[key.len()..].strip_prefix([' ', '\t', ':']).unwrap_or_default();
                    words(rest).nth(nth).map_or(MALFORMED, reading)
                }
            };
            assert_eq!(slot, expected, "value {nth} of {key} in {text:?}");
        }
    }
}

/// Pressure files: the total of either line, as the kernel lays it out.
pub(crate) fn pressure(data: &[u8]) {
    for line in [PsiLine::Some, PsiLine::Full] {
        let found = parse::psi_total(data, line);
        let slot = scalar(Field::Psi(line), data);
        match found {
            Ok(Some(total)) => assert_eq!(slot, Slot::Value(total)),
            Ok(None) | Err(Malformed) => assert!(matches!(slot, Slot::Absent(_)), "{slot:?}"),
        }
        let Ok(text) = std::str::from_utf8(data) else { continue };
        let of_line = |text: &str| {
            let rest = text.strip_prefix(line.as_str())?;
            rest.strip_prefix([' ', '\t', ':']).or_else(|| rest.is_empty().then_some("")).map(str::to_owned)
        };
        let Some(rest) = lines(text).find_map(of_line) else { continue };
        if let Some(total) = words(&rest).filter_map(|word| word.strip_prefix("total=")).last() {
            assert_eq!(found, number(total).map(Some), "{text:?}");
        }
    }
}

/// A table as it is after one file, by a plan.
type Reading<'a> = (&'a [u8], Table);

/// The input holds files with NUL between them, as one after the other is read into a table that keeps its allocations;
/// each reading must be that of a new table.
fn tables<'a>(version: Version, place: Place, columns: &[&'static str], data: &'a [u8]) -> Vec<Reading<'a>> {
    let key = |name: &'static str| SourceKey::same(At::new(place, Field::Column(name), Scale::One));
    let keys: Vec<(SourceKey, usize)> =
        columns.iter().enumerate().map(|(at, name)| (key(name), at)).collect();
    let plan = Plan::compile(version, &[], &[(0, &keys)]);
    let read = |tables: &mut [Table; 1], file: &[u8]| {
        plan.begin(&mut [], tables);
        plan.fill(0, file, Units::default(), &mut [], tables);
    };
    let mut kept = [Table::new()];
    let reading = |file| {
        let mut new = [Table::new()];
        read(&mut new, file);
        read(&mut kept, file);
        let ([kept], [new]) = (&kept, new);
        assert!(kept.iter().eq(new.iter()), "kept {kept:?}, new {new:?}");
        assert_eq!(kept.absence(), new.absence());
        assert!(new.len() <= Table::ROWS_MAX);
        assert!(new.iter().all(|row| row.cells.len() == columns.len()));
        let twin = |row: &Row| new.iter().filter(|other| other.key == row.key).count() > 1;
        assert!(!new.iter().any(twin), "two rows of one name: {new:?}");
        (file, new)
    };
    data.split(|byte| *byte == 0).take(8).map(reading).collect()
}

/// `io.stat`, `memory.numa_stat` and v1 `blkio.*`: a table's cells are the last ones that were visited.
pub(crate) fn nested(data: &[u8]) {
    const COLUMNS: [&str; 6] = ["rbytes", "wbytes", "Read", "Write", "N0", "Total"];
    for version in [Version::V1, Version::V2] {
        for (file, table) in tables(version, Place::Cgroup(Controller::Blkio, "file"), &COLUMNS, data) {
            let mut cells: Vec<(&[u8], &[u8], &[u8])> = Vec::new();
            parse::nested(file, |row, column, value| cells.push((row, column, value)));
            for row in table.iter() {
                for (column, slot) in COLUMNS.iter().zip(&row.cells) {
                    let same = |cell: &&(&[u8], &[u8], &[u8])| {
                        cell.0 == row.key.as_bytes() && cell.1 == column.as_bytes()
                    };
                    let expected = match cells.iter().rev().find(same) {
                        Some((_, _, value)) => std::str::from_utf8(value).map_or(MALFORMED, reading),
                        None => Slot::Absent(Absence::NoKey),
                    };
                    assert_eq!(*slot, expected, "{column} of {}", row.key);
                }
            }
        }
    }
}

/// Cells in the order of the file: of two of one row and column the last holds.
type Cells = Vec<(String, &'static str, Slot)>;

fn holds_cells(table: &Table, columns: &[&'static str], cells: &Cells) {
    for row in table.iter() {
        for (column, slot) in columns.iter().zip(&row.cells) {
            let cell = cells.iter().rev().find(|cell| cell.0 == row.key && cell.1 == *column);
            assert_eq!(
                *slot,
                cell.map_or(Slot::Absent(Absence::NoKey), |cell| cell.2),
                "{column} of {}",
                row.key
            );
        }
    }
    assert!(cells.iter().all(|cell| table.len() == Table::ROWS_MAX || table.get(&cell.0).is_some()));
}

/// `misc.*`, `dmem.*` and v1 `blkio.throttle.*_device`.
pub(crate) fn pairs(data: &[u8]) {
    const COLUMNS: [&str; 2] = ["", "max"];
    for (file, table) in tables(Version::V2, Place::Cgroup(Controller::Misc, "file"), &COLUMNS, data) {
        let Ok(text) = std::str::from_utf8(file) else { continue };
        let mut cells = Cells::new();
        for line in lines(text) {
            let [key, value] = words(line).collect::<Vec<_>>()[..] else { continue };
            cells.push((key.to_owned(), "", reading(value)));
            if let Some(row) = key.strip_suffix(".max") {
                cells.push((row.to_owned(), "max", reading(value)));
            }
        }
        holds_cells(&table, &COLUMNS, &cells);
    }
}

/// `memory.numa_stat`.
pub(crate) fn numa_stat(data: &[u8]) {
    const COLUMNS: [&str; 3] = ["anon", "file", "hierarchical_anon"];
    for (file, table) in
        tables(Version::V2, Place::Cgroup(Controller::Memory, "memory.numa_stat"), &COLUMNS, data)
    {
        let Ok(text) = std::str::from_utf8(file) else { continue };
        let mut cells = Cells::new();
        for line in lines(text) {
            let mut words = words(line);
            let kind = words.next().map(|first| first.split('=').next().unwrap_or(first));
            let Some(column) = COLUMNS.iter().find(|column| kind == Some(**column)) else { continue };
            for word in words {
                let pair = word.strip_prefix('N').and_then(|word| word.split_once('='));
                let Some((node, value)) = pair.filter(|(node, _)| number(node).is_ok()) else { continue };
                cells.push((node.to_owned(), column, reading(value)));
            }
        }
        holds_cells(&table, &COLUMNS, &cells);
    }
}

/// The rows of a file with its numbers.
type Rows = Vec<(String, Vec<Result<u64, Malformed>>)>;

/// `/proc/<pid>/net/dev`.
pub(crate) fn net_dev(data: &[u8]) {
    for (file, table) in tables(Version::V2, Place::Proc("net/dev"), &NET_DEV_COLUMNS, data) {
        let Ok(text) = std::str::from_utf8(file) else { continue };
        let expected: Rows = lines(text)
            .filter_map(|line| line.rsplit_once(':'))
            .map(|(name, cells)| (name.trim_matches(|c: char| c.is_ascii_whitespace()), cells))
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, cells)| (name.to_owned(), row(words(cells), NET_DEV_COLUMNS.len())))
            .collect();
        let mut found = Rows::new();
        parse::net_dev(file, |name, cells| found.push((lossy(name), cells.to_vec())));
        assert_eq!(found, expected, "{text:?}");
        holds(&table, &expected);
    }
}

/// `/proc/diskstats`.
pub(crate) fn diskstats(data: &[u8]) {
    for (file, table) in tables(Version::V2, Place::System("diskstats"), &DISKSTATS_COLUMNS, data) {
        let Ok(text) = std::str::from_utf8(file) else { continue };
        let expected: Rows = lines(text)
            .filter_map(|line| {
                let mut words = words(line).skip(2);
                Some((words.next()?.to_owned(), row(words, DISKSTATS_COLUMNS.len())))
            })
            .collect();
        let mut found = Rows::new();
        parse::diskstats(file, |name, cells| found.push((lossy(name), cells.to_vec())));
        assert_eq!(found, expected, "{text:?}");
        holds(&table, &expected);
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// So many numbers; what is missing is malformed.
fn row<'a>(cells: impl Iterator<Item = &'a str>, count: usize) -> Vec<Result<u64, Malformed>> {
    cells.map(number).chain(std::iter::repeat(Err(Malformed))).take(count).collect()
}

/// The table has these rows, of two of one name the last.
fn holds(table: &Table, rows: &Rows) {
    for row in table.iter() {
        let named = rows.iter().rev().find(|(name, _)| *name == row.key);
        let Some((_, cells)) = named else { panic!("a row that the file has not: {row:?}") };
        let expected = cells.iter().map(|cell| cell.map_or(MALFORMED, Slot::Value));
        assert!(row.cells.iter().copied().eq(expected), "{row:?}");
    }
    if rows.len() < Table::ROWS_MAX {
        assert!(rows.iter().all(|(name, _)| table.get(name).is_some()));
    }
}

/// `/proc/<pid>/stat`: the start is the 20th word behind the command's name, whatever that name is.
pub(crate) fn proc_stat(data: &[u8]) {
    let found = parse::start_ticks(data);
    let Some(end) = data.iter().rposition(|byte| *byte == b')') else {
        return assert_eq!(found, Err(Malformed));
    };
    if let Ok(rest) = std::str::from_utf8(&data[end + 1..]) {
        assert_eq!(found, words(rest).nth(19).map_or(Err(Malformed), number));
        let renamed = format!("1 (a) b ( c{})", rest.is_empty()).into_bytes();
        assert_eq!(parse::start_ticks(&[&renamed, &data[end + 1..]].concat()), found);
        let words: Vec<&str> = words(rest).collect();
        match parse::task(data) {
            Ok(task) => {
                assert_eq!(words.get(17).map(|word| number(word)), Some(Ok(task.threads)), "{rest:?}");
                assert_eq!(Ok(task.start_ticks), found, "{rest:?}");
                let letters = match task.state {
                    TaskState::Running => "R",
                    TaskState::Sleeping => "SIP",
                    TaskState::Uninterruptible => "DWK",
                    TaskState::Stopped => "Tt",
                    TaskState::Zombie => "Z",
                    TaskState::Dead => "Xx",
                };
                assert!(words[0].len() == 1 && letters.contains(words[0]), "{rest:?}");
            }
            Err(Malformed) => {
                let is_state = |word: &&str| word.len() == 1 && "RSIPDWKTtZXx".contains(word);
                let has_threads = words.get(17).is_some_and(|word| number(word).is_ok());
                assert!(!(words.first().is_some_and(is_state) && has_threads && found.is_ok()), "{rest:?}");
            }
        }
    }
}

/// `/proc/<pid>/limits`: a name of 25 columns, and the soft limit behind it.
pub(crate) fn proc_limits(data: &[u8]) {
    let found: Vec<(&[u8], Slot)> = parse::limits(data).collect();
    assert!(found.iter().all(|(name, _)| name.len() <= 25), "{found:?}");
    let Some(text) = std::str::from_utf8(data).ok().filter(|text| text.is_ascii()) else { return };
    let limit = |line: &'_ str| {
        let (name, values) = line.split_at_checked(25)?;
        let soft = match words(values).next()? {
            "unlimited" => Slot::Max,
            word => number(word).map_or(MALFORMED, Slot::Value),
        };
        Some((name.trim_ascii_end().to_owned(), soft))
    };
    let expected: Vec<(String, Slot)> = lines(text).skip(1).filter_map(limit).collect();
    let found: Vec<(String, Slot)> = found.into_iter().map(|(name, soft)| (lossy(name), soft)).collect();
    assert_eq!(found, expected, "{text:?}");
}
