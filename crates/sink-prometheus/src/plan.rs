//! The catalogue as one profile shows it: families with their rows, everything that is the same on each page made once.

use std::collections::{BTreeSet, HashMap};

use collector_core::{
    Container, Group, Reading,
    catalogue::{self, Birth, Dimension, Entity, InfoLabels, Row, RowId, Source},
};
use exposition::{Family, Kind, LabelBlock};
use metric_schema::{Instrument, Values};

use crate::Profile;

/// What one profile shows.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) profile: Profile,
    pub(crate) families: Vec<FamilyPlan>,
    /// The formulas of the info rows; [`Read::Info`] points here.
    pub(crate) infos: Vec<fn(&Container) -> InfoLabels>,
    /// What stands before a series without identity: nothing.
    pub(crate) nobody: LabelBlock,
    /// The identity of the root cgroup, where the profile shows it.
    pub(crate) root: Option<LabelBlock>,
    by_name: HashMap<Box<str>, usize>,
}

/// One family.
#[derive(Debug)]
pub(crate) struct FamilyPlan {
    pub(crate) name: Box<str>,
    help: &'static str,
    kind: Kind,
    unit: Option<&'static str>,
    pub(crate) group: Group,
    pub(crate) entity: Entity,
    /// Containers without processes have no series in it.
    pub(crate) running_only: bool,
    /// Whether the family belongs to the profile's own names, which the root cgroup has too.
    pub(crate) of_root: bool,
    pub(crate) rows: Vec<RowPlan>,
}

impl FamilyPlan {
    pub(crate) fn describe(&self) -> Family<'_> {
        let family = Family::new(&self.name, self.help, self.kind);
        match self.unit {
            Some(unit) => family.with_unit(unit),
            None => family,
        }
    }
}

/// One row of the catalogue.
#[derive(Debug)]
pub(crate) struct RowPlan {
    pub(crate) id: RowId,
    pub(crate) read: Read,
    pub(crate) birth: Birth,
}

/// Where a row's value is, and what labels it has behind the identity.
#[derive(Debug)]
pub(crate) enum Read {
    /// In the sample.
    Sample(LabelBlock),
    /// In the engine's description.
    Engine(fn(&Container) -> Reading, LabelBlock),
    /// One series for each state, where it is known.
    States(fn(&Container) -> Option<usize>, Vec<LabelBlock>),
    /// 1, with the labels of that place in an entry's `infos`.
    Info(usize),
    /// In a table of the sample.
    Table(TablePlan),
}

/// A column of a table.
#[derive(Debug)]
pub(crate) struct TablePlan {
    pub(crate) dimension: Dimension,
    pub(crate) column: usize,
    /// The labels that the row shows: place in an entry's labels, and name.
    pub(crate) shown: Vec<(usize, &'static str)>,
    /// Labels with a fixed value.
    pub(crate) fixed: Vec<(&'static str, &'static str)>,
    /// The most entries of one entity.
    pub(crate) entries_max: usize,
}

impl Plan {
    pub(crate) fn new(profile: Profile) -> Self {
        let mut plan = Self {
            profile,
            families: Vec::new(),
            infos: Vec::new(),
            nobody: LabelBlock::default(),
            root: (profile == Profile::Cadvisor).then(|| block(&[("id", "/")])),
            by_name: HashMap::new(),
        };
        for (id, row) in catalogue::get().iter().filter(|(_, row)| !row.hidden) {
            plan.add(id, row);
        }
        for (at, family) in plan.families.iter().enumerate() {
            plan.by_name.insert(family.name.clone(), at);
        }
        for (at, family) in plan.families.iter().enumerate() {
            if let (Kind::Counter, Some(base)) = (family.kind, family.name.strip_suffix("_total")) {
                plan.by_name.entry(base.into()).or_insert(at);
            }
        }
        plan
    }

    /// The family of that name; OpenMetrics' name of a counter, without `_total`, is one too.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The names of labels that stand behind the identity in some series of a container.
    pub(crate) fn label_names(profile: Profile) -> BTreeSet<String> {
        let rows = catalogue::get().iter().map(|(_, row)| row).filter(|row| row.entity == Entity::Container);
        rows.flat_map(|row| {
            let attributes = row.def.attributes.iter().map(|attribute| attribute.name);
            attributes.chain(fixed_labels(row, profile).into_iter().map(|(name, _)| name))
        })
        .map(str::to_owned)
        .collect()
    }

    fn add(&mut self, id: RowId, row: &'static Row) {
        let Some((name, own)) = shown_name(row, self.profile) else { return };
        let same = self.families.last().is_some_and(|family| *family.name == *name);
        if !same {
            let kind = match row.def.instrument {
                Instrument::Counter => Kind::Counter,
                Instrument::UpDownCounter | Instrument::Gauge => Kind::Gauge,
                // A reading is one number: the catalogue has no row of this kind, which its tests check.
                Instrument::Histogram => Kind::Unknown,
            };
            self.families.push(FamilyPlan {
                name: name.into(),
                help: row.def.help,
                kind,
                unit: row.def.unit.prometheus_suffix(),
                group: row.group,
                entity: row.entity,
                running_only: row.group != Group::State || (own && self.profile == Profile::Cadvisor),
                of_root: own && self.profile == Profile::Cadvisor && row.entity == Entity::Container,
                rows: Vec::new(),
            });
        }
        let read = self.read(id, row);
        if let Some(family) = self.families.last_mut() {
            family.rows.push(RowPlan { id, read, birth: birth(row) });
        }
    }

    fn read(&mut self, id: RowId, row: &'static Row) -> Read {
        let fixed = fixed_labels(row, self.profile);
        if let Some((dimension, column)) = catalogue::get().column(id) {
            let shown = dimension.labels().iter().enumerate().filter_map(|(at, name)| {
                row.def.attributes.iter().any(|attribute| attribute.name == *name).then_some((at, *name))
            });
            let entries_max = row.entries_max();
            return Read::Table(TablePlan { dimension, column, shown: shown.collect(), fixed, entries_max });
        }
        match row.source {
            Source::Engine(read) => Read::Engine(read, block(&fixed)),
            Source::StateSet(current) => {
                let attribute = row.def.attributes.first();
                let values = attribute.map_or(&[][..], |attribute| match attribute.values {
                    Values::Closed(values) => values,
                    Values::Capped(_) | Values::Given => &[],
                });
                let name = attribute.map_or("state", |attribute| attribute.name);
                let with = |value| block(&[&fixed[..], &[(name, value)]].concat());
                Read::States(current, values.iter().map(|value| with(*value)).collect())
            }
            Source::Info(labels) => {
                self.infos.push(labels);
                Read::Info(self.infos.len() - 1)
            }
            _ => Read::Sample(block(&fixed)),
        }
    }
}

/// The name of a row under a profile, and whether it is one of the profile's own.
///
/// Under another profile than ours, rows of the host and of the exporter keep our names where the profile has none, and
/// so do what a stopped container shows: its state, exit code and restarts.
fn shown_name(row: &Row, profile: Profile) -> Option<(String, bool)> {
    let ours = || row.def.only_aliased.is_none().then(|| row.def.prometheus_name());
    let Some(alias) = profile.alias() else { return ours().map(|name| (name, true)) };
    if let Some(alias) = row.def.alias(alias) {
        return Some((alias.name.to_owned(), true));
    }
    let keeps = match row.entity {
        Entity::Container => row.group == Group::State && !matches!(row.source, Source::Info(_)),
        Entity::Host | Entity::Exporter => true,
    };
    keeps.then(ours).flatten().map(|name| (name, false))
}

/// The labels that a row or its alias fixes.
fn fixed_labels(row: &Row, profile: Profile) -> Vec<(&'static str, &'static str)> {
    let alias = profile.alias().and_then(|alias| row.def.alias(alias)).map_or(&[][..], |alias| alias.labels);
    [row.def.labels, alias].concat()
}

/// The created timestamp, which only counters have.
fn birth(row: &Row) -> Birth {
    if row.def.instrument == Instrument::Counter { row.birth() } else { Birth::Unknown }
}

/// A block of labels that the catalogue's tests hold legal and unique.
fn block(labels: &[(&str, &str)]) -> LabelBlock {
    LabelBlock::new(labels).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `block` must not swallow a label of the catalogue.
    #[test]
    fn fixed_labels_are_legal() {
        for profile in Profile::ALL {
            for (_, row) in catalogue::get().iter() {
                let fixed = fixed_labels(row, profile);
                assert!(LabelBlock::new(&fixed).is_ok(), "{}", row.def.name);
            }
        }
    }

    #[test]
    fn families_are_unique() {
        for profile in Profile::ALL {
            let plan = Plan::new(profile);
            let names: BTreeSet<_> = plan.families.iter().map(|family| &family.name).collect();
            assert_eq!(names.len(), plan.families.len(), "{profile:?}");
        }
    }
}
