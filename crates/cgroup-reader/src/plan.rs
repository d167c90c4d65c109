//! Read plans: the wanted numbers grouped by file, so that one pass reads each file once.

use crate::fill::FileFill;
use crate::key::{Field, Place, SourceKey, Units, Version};
use crate::slot::{Absence, Slot, Table};

/// What to read and where to put it, for one cgroup version.
///
/// One plan serves any number of cgroups, and threads: it is shared by reference. It learns in which line of each file
/// each key stands, which is the same in every cgroup of a machine, so that a pass compares the key at its expected line
/// instead of looking each line up.
#[derive(Debug)]
pub struct Plan {
    version: Version,
    pub(crate) files: Vec<FileFill>,
    /// The number of columns of each planned table.
    tables: Vec<(usize, usize)>,
    /// Slots that this version has no source for.
    fixed: Vec<(usize, Absence)>,
    /// Table columns that this version has no source for: table, column, reason.
    fixed_columns: Vec<(usize, usize, Absence)>,
    slots: usize,
    table_count: usize,
}

impl Plan {
    /// Compiles a plan from scalars (source and index of its slot) and tables (index of the table; source and index of each
    /// column).
    ///
    /// A source that has nothing on this version makes [`Absence::NoSourceOnVersion`] on every read. A column among the
    /// scalars, or a scalar among the columns, names no place in its file: [`Absence::NoKey`].
    #[must_use]
    pub fn compile(
        version: Version,
        scalars: &[(SourceKey, usize)],
        tables: &[(usize, &[(SourceKey, usize)])],
    ) -> Plan {
        let mut plan = Plan {
            version,
            files: Vec::new(),
            tables: Vec::new(),
            fixed: Vec::new(),
            fixed_columns: Vec::new(),
            slots: scalars.iter().map(|(_, slot)| slot + 1).max().unwrap_or(0),
            table_count: tables.iter().map(|(table, _)| table + 1).max().unwrap_or(0),
        };
        for &(key, slot) in scalars {
            match key.on(version) {
                None => plan.fixed.push((slot, Absence::NoSourceOnVersion)),
                Some(at) if matches!(at.field, Field::Column(_)) => plan.fixed.push((slot, Absence::NoKey)),
                Some(at) => plan.file(at.place).add_scalar(at.field, at.scale, slot),
            }
        }
        for &(table, columns) in tables {
            plan.tables.push((table, columns.iter().map(|(_, column)| column + 1).max().unwrap_or(0)));
            for &(key, column) in columns {
                match key.on(version) {
                    None => plan.fixed_columns.push((table, column, Absence::NoSourceOnVersion)),
                    Some(at) => match at.field {
                        Field::Column(name) => plan.file(at.place).add_column(table, name, at.scale, column),
                        _ => plan.fixed_columns.push((table, column, Absence::NoKey)),
                    },
                }
            }
        }
        plan
    }

    fn file(&mut self, place: Place) -> &mut FileFill {
        let index = self.files.iter().position(|file| file.place() == place).unwrap_or_else(|| {
            self.files.push(FileFill::new(self.version, place));
            self.files.len() - 1
        });
        &mut self.files[index]
    }

    /// The version the plan is for.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How many slots a read fills at least: one more than the largest index.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// How many tables a read fills at least: one more than the largest index.
    #[must_use]
    pub fn tables(&self) -> usize {
        self.table_count
    }

    /// The files that one pass reads, in its order.
    pub fn places(&self) -> impl ExactSizeIterator<Item = Place> + '_ {
        self.files.iter().map(FileFill::place)
    }

    /// Empties the tables and sets what this version has no source for: what a pass does before the first file.
    ///
    /// With [`Plan::fill`] and [`Plan::absent`] it makes a pass over bytes from elsewhere; [`crate::Handle`] does all that over
    /// files.
    pub fn begin(&self, slots: &mut [Slot], tables: &mut [Table]) {
        for &(slot, reason) in &self.fixed {
            if let Some(slot) = slots.get_mut(slot) {
                *slot = Slot::Absent(reason);
            }
        }
        for &(table, columns) in &self.tables {
            if let Some(table) = tables.get_mut(table) {
                table.reset(columns);
            }
        }
        for &(table, column, reason) in &self.fixed_columns {
            if let Some(table) = tables.get_mut(table) {
                table.column_missing(column, reason);
            }
        }
    }

    /// Fills what is wanted of one file (its index in [`Plan::places`]) from its bytes. Slots and tables past the given ones
    /// are left out.
    pub fn fill(&self, file: usize, bytes: &[u8], units: Units, slots: &mut [Slot], tables: &mut [Table]) {
        if let Some(file) = self.files.get(file) {
            file.fill(bytes, units, &mut Vec::new(), slots, tables);
        }
    }

    /// Says of one file (its index in [`Plan::places`]) why it is missing.
    pub fn absent(&self, file: usize, reason: Absence, slots: &mut [Slot], tables: &mut [Table]) {
        if let Some(file) = self.files.get(file) {
            file.absent(reason, slots, tables);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::{At, Controller, PsiLine, Scale};

    const fn stat(name: &'static str) -> SourceKey {
        SourceKey::same(At::key(Controller::Memory, "memory.stat", name, Scale::One))
    }

    const fn io(file: &'static str, name: &'static str) -> SourceKey {
        SourceKey::same(At::column(Controller::Blkio, file, name, Scale::One))
    }

    fn pass(plan: &Plan, files: &[&str], slots: &mut [Slot], tables: &mut [Table]) {
        plan.begin(slots, tables);
        for (index, bytes) in files.iter().enumerate() {
            plan.fill(index, bytes.as_bytes(), Units::default(), slots, tables);
        }
    }

    #[test]
    fn keys_are_found_wherever_they_move() {
        let plan =
            Plan::compile(Version::V2, &[(stat("anon"), 0), (stat("file"), 1), (stat("gone"), 2)], &[]);
        let no_key = Slot::Absent(Absence::NoKey);
        let bad = Slot::Absent(Absence::Malformed);
        let value = Slot::Value;
        // One plan, as over many cgroups, each with what its predecessors taught.
        for (text, expect) in [
            ("anon 1\nfile 2\n", [value(1), value(2), no_key]),
            ("file 3\nanon 4\n", [value(4), value(3), no_key]),
            ("anon_thp 9\nanon 5\nfile 6", [value(5), value(6), no_key]),
            ("gone 7\nanon 5\nfile 6\n", [value(5), value(6), value(7)]),
            ("anon 5\nfile 6\ngone 8\n", [value(5), value(6), value(8)]),
            ("anon 5\nfile 6\nother 8\n", [value(5), value(6), no_key]),
            ("anon\nfile -1\ngone 18446744073709551615\n", [bad, bad, bad]),
            ("anon 5\nfi", [value(5), no_key, no_key]),
            ("", [bad, bad, bad]),
            ("\n\n\n", [no_key; 3]),
            ("anon 9223372036854771712\nfile max\ngone 1 kB\n", [Slot::Max, Slot::Max, value(1)]),
        ] {
            for _ in 0..3 {
                let mut slots = [Slot::default(); 3];
                pass(&plan, &[text], &mut slots, &mut []);
                assert_eq!(slots, expect, "{text:?}");
            }
        }
    }

    #[test]
    fn every_field_kind() {
        let core = Controller::Core;
        let plan = Plan::compile(
            Version::V2,
            &[
                (SourceKey::same(At::index(Controller::Cpu, "cpu.max", 0, Scale::MicrosToNanos)), 0),
                (SourceKey::same(At::index(Controller::Cpu, "cpu.max", 1, Scale::MicrosToNanos)), 1),
                (SourceKey::same(At::psi("cpu.pressure", PsiLine::Some)), 2),
                (SourceKey::same(At::psi("cpu.pressure", PsiLine::Full)), 3),
                (SourceKey::same(At::new(Place::Cgroup(core, "cgroup.procs"), Field::Lines, Scale::One)), 4),
                (SourceKey::same(At::new(Place::Cgroup(core, "cpus"), Field::CpuList, Scale::One)), 5),
                (SourceKey::same(At::system("stat", Field::KeyIndex("cpu", 2), Scale::UserHzToNanos)), 6),
                (SourceKey::same(At::system("meminfo", Field::Key("MemTotal"), Scale::KibToBytes)), 7),
                (SourceKey::v1(At::whole(Controller::Memory, "memory.limit_in_bytes", Scale::One)), 8),
            ],
            &[],
        );
        assert_eq!(plan.places().len(), 6, "each file once");
        let mut slots = [Slot::default(); 9];
        let files = [
            "max 100000\n",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
            "1\n22\n",
            "0-3,5\n",
            "cpu  10 20 30 40\ncpu0 1 2 3 4\n",
            "MemTotal:       16 kB\n",
        ];
        pass(&plan, &files, &mut slots, &mut []);
        let value = Slot::Value;
        assert_eq!(
            slots,
            [
                Slot::Max,
                value(100_000_000),
                value(7_000),
                Slot::Absent(Absence::NoKey),
                value(2),
                value(5),
                value(300_000_000),
                value(16384),
                Slot::Absent(Absence::NoSourceOnVersion),
            ]
        );
    }

    #[test]
    fn a_table_of_two_files() {
        let columns = [(io("bytes", "Read"), 0), (io("bytes", "Write"), 1), (io("ops", "Read"), 2)];
        let plan = Plan::compile(Version::V1, &[], &[(0, &columns)]);
        let mut tables = [Table::new()];
        let bytes = "254:0 Read 1\n254:0 Write 2\n8:0 Read 3\n8:0 Write x\nTotal 6\n";
        pass(&plan, &[bytes, "8:0 Read 7\n254:0 Read 8\n7:0 Read 9\n"], &mut [], &mut tables);
        let [table] = &tables;
        let (no_key, value) = (Slot::Absent(Absence::NoKey), Slot::Value);
        assert_eq!(table.absence(), None);
        assert_eq!(table.get("254:0").unwrap(), [value(1), value(2), value(8)]);
        assert_eq!(table.get("8:0").unwrap(), [value(3), Slot::Absent(Absence::Malformed), value(7)]);
        assert_eq!(table.get("7:0").unwrap(), [no_key, no_key, value(9)]);
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn v1_without_devices_does_not_count_and_v2_has_merely_no_rows() {
        let columns = [(io("bytes", "Read"), 0)];
        for (version, text, expect) in [
            (Version::V1, "Total 0\n", Some(Absence::NotCounted)),
            (Version::V1, "", Some(Absence::NotCounted)),
            (Version::V2, "", None),
        ] {
            let plan = Plan::compile(version, &[], &[(0, &columns)]);
            let mut tables = [Table::new()];
            pass(&plan, &[text], &mut [], &mut tables);
            assert!(tables[0].is_empty());
            assert_eq!(tables[0].absence(), expect, "{version:?}");
        }
    }

    #[test]
    fn a_missing_file_leaves_the_other_columns() {
        let columns = [(io("bytes", "Read"), 0), (io("ops", "Read"), 1)];
        let plan = Plan::compile(Version::V1, &[], &[(0, &columns)]);
        let mut tables = [Table::new()];
        plan.begin(&mut [], &mut tables);
        plan.absent(0, Absence::NoFile, &mut [], &mut tables);
        assert_eq!(tables[0].absence(), Some(Absence::NoFile));
        plan.fill(1, b"8:0 Read 1\n", Units::default(), &mut [], &mut tables);
        assert_eq!(tables[0].absence(), None);
        assert_eq!(tables[0].get("8:0").unwrap(), [Slot::Absent(Absence::NoFile), Slot::Value(1)]);
    }

    #[test]
    fn interfaces_in_a_plan() {
        let column = |name| SourceKey::same(At::proc("net/dev", Field::Column(name), Scale::One));
        let plan = Plan::compile(Version::V1, &[], &[(1, &[(column("tx_bytes"), 0), (column("bogus"), 1)])]);
        let mut tables = [Table::new(), Table::new()];
        let text = "Inter-|\n face |bytes\n  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
        pass(&plan, &[text], &mut [], &mut tables);
        assert_eq!(tables[1].get("eth0").unwrap(), [Slot::Value(9), Slot::Absent(Absence::NoKey)]);
        assert_eq!(tables[0].columns(), 0);
    }

    #[test]
    fn too_few_slots_are_no_panic() {
        let plan = Plan::compile(Version::V2, &[(stat("anon"), 5)], &[(3, &[(io("io.stat", "rbytes"), 9)])]);
        assert_eq!((plan.slots(), plan.tables()), (6, 4));
        pass(&plan, &["anon 1\n", "8:0 rbytes=1\n"], &mut [], &mut []);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Whatever stands in whichever file, each planned slot is filled and nothing panics.
        #[test]
        fn any_bytes_fill_every_slot(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            text in "((cpu|total=|some|max|[0-9]{1,20}|-|,|[0-9]:[0-9]|Read|rbytes=|eth0:) ?\n?){0,20}",
        ) {
            let fields = [
                Field::Whole, Field::Key("cpu"), Field::KeyIndex("cpu", 3), Field::Index(1), Field::Psi(PsiLine::Some),
                Field::Lines, Field::CpuList, Field::Column("Read"), Field::ProtocolPair("cpu", "Read"),
                Field::NamedPair("cpu", "Read"), Field::HexColumn("Read"),
            ];
            let at = |place, field| SourceKey::same(At::new(place, field, Scale::UserHzToNanos));
            let scalars: Vec<_> = fields.into_iter().map(|field| at(Place::System("stat"), field)).zip(0..).collect();
            let column = |place, name| at(place, Field::Column(name));
            let io = Place::Cgroup(Controller::Blkio, "io.stat");
            let tables: [(usize, &[(SourceKey, usize)]); 3] = [
                (0, &[(column(io, "rbytes"), 0), (column(io, "Read"), 1)]),
                (1, &[(column(Place::Proc("net/dev"), "rx_bytes"), 0)]),
                (2, &[(column(Place::System("diskstats"), "reads"), 0)]),
            ];
            for version in [Version::V1, Version::V2] {
                let plan = Plan::compile(version, &scalars, &tables);
                let mut filled = [Table::new(), Table::new(), Table::new()];
                for input in [&bytes[..], text.as_bytes()] {
                    let mut slots = [Slot::default(); 8];
                    plan.begin(&mut slots, &mut filled);
                    for file in 0..plan.places().len() {
                        plan.fill(file, input, Units::default(), &mut slots, &mut filled);
                    }
                    prop_assert!(slots.iter().all(|slot| *slot != Slot::default()));
                }
            }
        }

        /// The fast path, with whatever the plan has learnt, agrees with a plan that has learnt nothing.
        #[test]
        fn hints_never_change_a_reading(texts in proptest::collection::vec("((a|b|c|d|ab)( [0-9]{1,3})?\n){0,6}", 1..6)) {
            let keys = [(stat("a"), 0), (stat("b"), 1), (stat("ab"), 2)];
            let learnt = Plan::compile(Version::V2, &keys, &[]);
            for text in &texts {
                let fresh = Plan::compile(Version::V2, &keys, &[]);
                let mut readings = [[Slot::default(); 3]; 2];
                for (plan, slots) in [&learnt, &fresh].into_iter().zip(&mut readings) {
                    pass(plan, &[text], slots, &mut []);
                }
                // Of a key that stands there twice either line may be meant.
                let unique = |key: &str| text.lines().filter(|line| line.split(' ').next() == Some(key)).count() < 2;
                for (index, key) in ["a", "b", "ab"].into_iter().enumerate() {
                    if unique(key) {
                        prop_assert_eq!(readings[0][index], readings[1][index], "{} in {:?}", key, text);
                    }
                }
            }
        }
    }
}
