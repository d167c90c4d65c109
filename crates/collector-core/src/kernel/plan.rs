//! Read plans: the catalogue's kernel sources for a set of groups, and where each slot goes in a sample.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use cgroup_reader::{At, Host, KeptFile, Place, Plan, Slot, SourceKey, Table, Version};

use metric_schema::{Instrument, Unit};

use super::lock;
use crate::{
    Absence, COUNTED, Entry, Group, Groups, Reading, Sample, Value,
    catalogue::{self, Dimension, Entity, Row, RowId, Source},
};

/// Which column of a plan's table goes to which column of a sample's. Rows that show one number under two names share the
/// former.
pub(super) type Columns = Vec<(usize, usize)>;

/// A table that is being planned: columns, and the keys with their places.
type Planned = (Dimension, Columns, Vec<(SourceKey, usize)>);

/// One plan, with the rows of its slots and the columns of its tables.
#[derive(Debug)]
pub(super) struct PlanSet {
    pub(super) plan: Plan,
    rows: Vec<RowId>,
    pub(super) tables: Vec<(Dimension, Columns)>,
    /// Numbers that stand in a file of their own for each key.
    per_file: Vec<PerFile>,
    /// Their tables.
    by_file: Vec<Dimension>,
}

/// No limit in a file of v1: the largest page count in whole huge pages, so further below 2⁶³ than [`cgroup_reader`] knows.
const LIMITLESS_FROM: u64 = 1 << 62;

/// Which slot goes to which entry of a sample's table.
#[derive(Debug)]
struct PerFile {
    dimension: Dimension,
    labels: Arc<[Arc<str>]>,
    column: usize,
    slot: usize,
    unit: Unit,
}

impl PlanSet {
    fn compile(version: Version, page_sizes: &PageSizes, wanted: impl Fn(RowId, &Row) -> bool) -> Self {
        let mut rows = Vec::new();
        let mut scalars = Vec::new();
        let mut columns: Vec<Planned> = Vec::new();
        let mut per_file: Vec<(PerFile, SourceKey)> = Vec::new();
        let mut by_file = Vec::new();
        for (id, row) in catalogue::get().iter().filter(|(id, row)| wanted(*id, row)) {
            match row.source {
                Source::Key(key) => {
                    scalars.push((key, rows.len()));
                    rows.push(id);
                }
                Source::PerKey(dimension, key) => {
                    let Some((_, column)) = catalogue::get().column(id) else { continue };
                    let table = match columns.iter().position(|(other, ..)| *other == dimension) {
                        Some(table) => table,
                        None => {
                            columns.push((dimension, Vec::new(), Vec::new()));
                            columns.len() - 1
                        }
                    };
                    let (_, to, keys) = &mut columns[table];
                    let at = keys.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
                        keys.push((key, keys.len()));
                        keys.len() - 1
                    });
                    to.push((at, column));
                }
                Source::PerFile(dimension, key) => {
                    let Some((_, column)) = catalogue::get().column(id) else { continue };
                    if !by_file.contains(&dimension) {
                        by_file.push(dimension);
                    }
                    per_file.extend(page_sizes.expand(dimension, key, column, row.def.unit));
                }
                _ => {}
            }
        }
        for (to, key) in &mut per_file {
            to.slot = scalars.len();
            scalars.push((*key, to.slot));
        }
        let tables: Vec<(usize, &[(SourceKey, usize)])> =
            columns.iter().enumerate().map(|(table, (_, _, keys))| (table, keys.as_slice())).collect();
        let plan = Plan::compile(version, &scalars, &tables);
        Self {
            plan,
            rows,
            tables: columns.into_iter().map(|(dimension, to, _)| (dimension, to)).collect(),
            per_file: per_file.into_iter().map(|(to, _)| to).collect(),
            by_file,
        }
    }

    /// Memory for a pass: one per thread.
    pub(super) fn room(&self, slots: &mut Vec<Slot>, tables: &mut Vec<Table>) {
        slots.clear();
        slots.resize(self.rows.len() + self.per_file.len(), Slot::Absent(Absence::NotCollected));
        tables.resize_with(self.tables.len().max(tables.len()), Table::new);
    }

    /// Gives the slots the meaning of their rows.
    pub(super) fn fill(&self, slots: &[Slot], out: &mut Sample) {
        for (id, slot) in self.rows.iter().zip(slots) {
            let def = &catalogue::get().row(*id).def;
            let reading = match Reading::from_slot(*slot, def.unit) {
                // Only limits are `max`; a count of that size is none.
                Reading::Max if def.instrument == Instrument::Counter => Reading::Absent(Absence::Malformed),
                reading => reading,
            };
            out.set(*id, reading);
        }
        for to in &self.per_file {
            let reading = match Reading::from_slot(slots[to.slot], to.unit) {
                Reading::Value(Value::Int(LIMITLESS_FROM..)) => Reading::Max,
                reading => reading,
            };
            let table = out.table_mut(to.dimension);
            let width = catalogue::get().columns(to.dimension).len();
            let at =
                table.entries.iter().position(|entry| Arc::ptr_eq(&entry.labels, &to.labels)).unwrap_or_else(
                    || {
                        let cells = vec![Reading::Absent(Absence::NotCollected); width];
                        table.entries.push(Entry { labels: Arc::clone(&to.labels), cells });
                        table.entries.len() - 1
                    },
                );
            table.entries[at].cells[to.column] = reading;
        }
        for dimension in &self.by_file {
            let table = out.table_mut(*dimension);
            let mut cells = table.entries.iter().flat_map(|entry| &entry.cells);
            let reason = |cell: &Reading| match cell {
                Reading::Absent(reason) => Some(*reason),
                Reading::Max | Reading::Value(_) => None,
            };
            let first = cells.next().map_or(Some(Absence::NoFile), reason);
            // One number that is there says that the table is.
            table.absence = first.filter(|_| cells.all(|cell| reason(cell).is_some()));
        }
    }
}

/// The sizes of huge pages, and the names of their files, which live as long as the process: plans are made for any groups
/// that somebody asks for, and name files by reference.
#[derive(Debug)]
struct PageSizes {
    /// As the labels of a table.
    sizes: Vec<Arc<[Arc<str>]>>,
    files: Mutex<HashMap<(&'static str, usize), &'static str>>,
}

impl PageSizes {
    fn of(host: &Host) -> Self {
        let sizes = host.huge_page_sizes().into_iter().map(|size| Arc::from([Arc::from(size)])).collect();
        Self { sizes, files: Mutex::default() }
    }

    /// The numbers of a row, one for each size.
    fn expand(
        &self,
        dimension: Dimension,
        key: SourceKey,
        column: usize,
        unit: Unit,
    ) -> Vec<(PerFile, SourceKey)> {
        let of_size = |(at, size): (usize, &Arc<[Arc<str>]>)| {
            let named = |address: At| match address.place {
                Place::Cgroup(controller, file) => {
                    At::new(Place::Cgroup(controller, self.file(file, at)), address.field, address.scale)
                }
                _ => address,
            };
            let to = PerFile { dimension, labels: Arc::clone(size), column, slot: 0, unit };
            (to, SourceKey { v1: key.v1.map(named), v2: key.v2.map(named) })
        };
        self.sizes.iter().enumerate().map(of_size).collect()
    }

    /// `hugetlb.*.current` is `hugetlb.2MB.current`. Bounded: by the catalogue's names and the sizes.
    fn file(&self, pattern: &'static str, size: usize) -> &'static str {
        let mut files = lock(&self.files);
        files.entry((pattern, size)).or_insert_with(|| pattern.replacen('*', &self.sizes[size][0], 1).leak())
    }
}

/// Most plans that are kept. Requests choose groups: whoever asks for ever other ones costs time, not memory.
const PLANS_MAX: usize = 32;

/// Plans by groups: compiled when first asked for.
#[derive(Debug)]
pub(super) struct Plans {
    version: Version,
    containers: Mutex<HashMap<Groups, Arc<PlanSet>>>,
    page_sizes: PageSizes,
    host: PlanSet,
    /// The files of the host's plan.
    host_files: Vec<KeptFile>,
    /// The rows that are counted while this process watches.
    pub(super) counted: Arc<PlanSet>,
}

impl Plans {
    pub(super) fn new(host: &Host) -> Self {
        let (version, page_sizes, proc) = (host.version(), PageSizes::of(host), &host.roots().proc);
        let is_host = |_, row: &Row| row.entity == Entity::Host && row.group == Group::Host;
        let host = PlanSet::compile(version, &page_sizes, is_host);
        let host_files = host.plan.places().map(|place| KeptFile::new(proc.join(place.file()))).collect();
        let counted = PlanSet::compile(version, &page_sizes, |id, _| COUNTED.contains(&id));
        Self {
            version,
            containers: Mutex::default(),
            page_sizes,
            host,
            host_files,
            counted: Arc::new(counted),
        }
    }

    pub(super) fn containers(&self, groups: Groups) -> Arc<PlanSet> {
        let mut plans = lock(&self.containers);
        if plans.len() >= PLANS_MAX && !plans.contains_key(&groups) {
            plans.clear();
        }
        let plan = plans.entry(groups).or_insert_with(|| {
            let is_asked = |_, row: &Row| row.entity == Entity::Container && groups.has(row.group);
            Arc::new(PlanSet::compile(self.version, &self.page_sizes, is_asked))
        });
        Arc::clone(plan)
    }

    /// Reads the host's own rows, whose files lie under `/proc`.
    pub(super) fn read_host(&self, host: &Host, out: &mut Sample) {
        let (mut slots, mut tables) = (Vec::new(), Vec::new());
        self.host.room(&mut slots, &mut tables);
        self.host.plan.begin(&mut slots, &mut tables);
        for (index, file) in self.host_files.iter().enumerate() {
            match file.read() {
                Ok(bytes) => self.host.plan.fill(index, &bytes, host.units(), &mut slots, &mut tables),
                Err(error) => {
                    let reason = match error.kind() {
                        std::io::ErrorKind::PermissionDenied => Absence::PermissionDenied,
                        _ => Absence::NoFile,
                    };
                    self.host.plan.absent(index, reason, &mut slots, &mut tables);
                }
            }
        }
        self.host.fill(&slots, out);
    }
}

#[cfg(test)]
mod tests {
    use cgroup_reader::Roots;

    use super::*;

    #[test]
    fn no_choice_of_groups_makes_the_plans_many() {
        let root = tempfile::tempdir().expect("a directory");
        let controllers = root.path().join("sys/fs/cgroup/cgroup.controllers");
        std::fs::create_dir_all(controllers.parent().expect("it has one")).expect("a directory");
        std::fs::write(controllers, "cpu\n").expect("a file");
        let plans = Plans::new(&Host::detect(&Roots::under(root.path())).expect("a host"));
        let standard = plans.containers(Groups::standard());
        assert!(Arc::ptr_eq(&standard, &plans.containers(Groups::standard())), "compiled once");
        let mut chosen = Groups::NONE;
        for one in Group::ALL {
            for other in Group::ALL {
                chosen = Groups::NONE.with(one).with(other);
                plans.containers(chosen);
                assert!(lock(&plans.containers).len() <= PLANS_MAX);
            }
        }
        assert!(Arc::ptr_eq(&plans.containers(chosen), &plans.containers(chosen)));
    }
}
