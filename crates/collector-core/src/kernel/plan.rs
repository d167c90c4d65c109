//! Read plans: the catalogue's kernel sources for a set of groups, and where each slot goes in a sample.

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex},
};

use cgroup_reader::{Host, Plan, Slot, SourceKey, Table, Version};

use metric_schema::Instrument;

use super::lock;
use crate::{
    Absence, Group, Groups, Reading, Sample,
    catalogue::{self, Dimension, Entity, RowId, Source},
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
}

impl PlanSet {
    fn compile(version: Version, groups: Groups, entity: Entity) -> Self {
        let mut rows = Vec::new();
        let mut scalars = Vec::new();
        let mut columns: Vec<Planned> = Vec::new();
        for (id, row) in
            catalogue::get().iter().filter(|(_, row)| row.entity == entity && groups.has(row.group))
        {
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
                _ => {}
            }
        }
        let tables: Vec<(usize, &[(SourceKey, usize)])> =
            columns.iter().enumerate().map(|(table, (_, _, keys))| (table, keys.as_slice())).collect();
        let plan = Plan::compile(version, &scalars, &tables);
        Self { plan, rows, tables: columns.into_iter().map(|(dimension, to, _)| (dimension, to)).collect() }
    }

    /// Memory for a pass: one per thread.
    pub(super) fn room(&self, slots: &mut Vec<Slot>, tables: &mut Vec<Table>) {
        slots.clear();
        slots.resize(self.rows.len(), Slot::Absent(Absence::NotCollected));
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
    }
}

/// Most plans that are kept. Requests choose groups: whoever asks for ever other ones costs time, not memory.
const PLANS_MAX: usize = 32;

/// Plans by groups: compiled when first asked for.
#[derive(Debug)]
pub(super) struct Plans {
    version: Version,
    containers: Mutex<HashMap<Groups, Arc<PlanSet>>>,
    host: PlanSet,
}

impl Plans {
    pub(super) fn new(version: Version) -> Self {
        let host = PlanSet::compile(version, Groups::NONE.with(Group::Host), Entity::Host);
        Self { version, containers: Mutex::default(), host }
    }

    pub(super) fn containers(&self, groups: Groups) -> Arc<PlanSet> {
        let mut plans = lock(&self.containers);
        if plans.len() >= PLANS_MAX && !plans.contains_key(&groups) {
            plans.clear();
        }
        let plan = plans
            .entry(groups)
            .or_insert_with(|| Arc::new(PlanSet::compile(self.version, groups, Entity::Container)));
        Arc::clone(plan)
    }

    /// Reads the host's own rows, whose files lie under `/proc`.
    pub(super) fn read_host(&self, host: &Host, out: &mut Sample) {
        let (mut slots, mut tables) = (Vec::new(), Vec::new());
        self.host.room(&mut slots, &mut tables);
        self.host.plan.begin(&mut slots, &mut tables);
        for (index, place) in self.host.plan.places().enumerate() {
            match fs::read(host.roots().proc.join(place.file())) {
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
    use super::*;

    #[test]
    fn no_choice_of_groups_makes_the_plans_many() {
        let plans = Plans::new(Version::V2);
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
