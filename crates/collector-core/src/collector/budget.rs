//! The budget of series for each group: pages and exports stay bounded whatever containers do.
//!
//! Counted are rows and the lengths of tables, not series: a number that is absent counts as if it were there. That costs a
//! walk over lengths, and moves only when a container gets or loses a device, an interface, a volume, not when one of its
//! numbers could not be read just now.

use std::{
    sync::{LazyLock, Mutex},
    time::UNIX_EPOCH,
};

use metric_schema::Values;

use super::lock;
use crate::{
    ContainerSample, Group, Groups, Sample,
    catalogue::{self, Dimension, Entity, Row, Source},
};

/// What a collection left out of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) group: Group,
    /// Containers that have none of the group.
    pub(super) containers: u64,
    /// The series that they would have had, at most.
    pub(super) series: u64,
}

/// The most series of a group, and of which groups it was said that they have more.
#[derive(Debug)]
pub(super) struct Budget {
    series_max: u64,
    told: Mutex<Groups>,
}

/// What a container has of each group.
struct Weights {
    /// Rows beside tables.
    rows: [u64; Group::ALL.len()],
    tables: Vec<TableWeight>,
}

/// What an entry of a table has of a group.
struct TableWeight {
    dimension: Dimension,
    group: Group,
    /// The most entries that sinks write.
    entries_max: usize,
    columns: u64,
}

static WEIGHTS: LazyLock<Weights> = LazyLock::new(Weights::of_the_catalogue);

impl Budget {
    pub(super) fn new(series_max: u64) -> Self {
        Self { series_max, told: Mutex::default() }
    }

    /// Leaves out of each group that is over its budget the containers that find no room in it, whole. The oldest come
    /// first, so that no newcomer takes a series from whoever has been there; one that does not fit leaves the room to
    /// smaller ones. Tells of each of the groups that containers have.
    pub(super) fn keep(&self, containers: &mut [ContainerSample], groups: Groups) -> Vec<LeftOut> {
        let totals = WEIGHTS.totals(containers, groups);
        let is_over = |group: &Group| totals[*group as usize] > self.series_max;
        let over: Groups = groups.iter().filter(is_over).collect();
        let by_age = if over == Groups::NONE { Vec::new() } else { by_age(containers) };
        let of_containers = groups.iter().filter(|group| WEIGHTS.has(*group));
        of_containers
            .map(|group| {
                let mut left_out = LeftOut { group, containers: 0, series: 0 };
                if over.has(group) {
                    self.cut(containers, &by_age, &mut left_out);
                    self.tell(left_out);
                }
                left_out
            })
            .collect()
    }

    fn cut(&self, containers: &mut [ContainerSample], by_age: &[usize], left_out: &mut LeftOut) {
        let mut room = self.series_max;
        for at in by_age {
            let one = &mut containers[*at];
            let series = WEIGHTS.of(one, left_out.group);
            if series <= room {
                room -= series;
                continue;
            }
            one.left_out = one.left_out.with(left_out.group);
            left_out.containers += 1;
            left_out.series += series;
        }
    }

    /// Says once of each group that it has too many.
    fn tell(&self, left_out: LeftOut) {
        let LeftOut { group, containers, series } = left_out;
        let mut told = lock(&self.told);
        if told.has(group) {
            return;
        }
        *told = told.with(group);
        drop(told);
        tracing::warn!(
            group = group.as_str(),
            containers,
            series,
            series_max = self.series_max,
            "more series than a group may have: the youngest containers have none of it; raise metrics.series_per_group, \
             leave out containers or the group; from now on only counted"
        );
    }
}

/// Places of containers, those first that were made first.
fn by_age(containers: &[ContainerSample]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..containers.len()).collect();
    places.sort_by_cached_key(|at| {
        let one = &containers[*at];
        let made = one.container.created_at.unwrap_or(one.first_seen);
        // Lists tell it by the second, an inspect to the nanosecond: the order is the same by either.
        let second = made.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        (second, one.container.id.clone())
    });
    places
}

impl Weights {
    fn of_the_catalogue() -> Self {
        let mut weights = Self { rows: [0; Group::ALL.len()], tables: Vec::new() };
        for (id, row) in catalogue::get().iter() {
            if row.hidden || row.entity != Entity::Container {
                continue;
            }
            match catalogue::get().column(id) {
                Some((dimension, _)) => weights.add_column(dimension, row),
                None => weights.rows[row.group as usize] += series_of(row),
            }
        }
        weights
    }

    fn add_column(&mut self, dimension: Dimension, row: &Row) {
        let (group, entries_max) = (row.group, row.entries_max());
        let is_same = |table: &&mut TableWeight| {
            (table.dimension, table.group, table.entries_max) == (dimension, group, entries_max)
        };
        match self.tables.iter_mut().find(is_same) {
            Some(table) => table.columns += 1,
            None => self.tables.push(TableWeight { dimension, group, entries_max, columns: 1 }),
        }
    }

    fn has(&self, group: Group) -> bool {
        self.rows[group as usize] > 0 || self.tables.iter().any(|table| table.group == group)
    }

    /// All series of the containers, by group.
    fn totals(&self, containers: &[ContainerSample], groups: Groups) -> [u64; Group::ALL.len()] {
        let running = containers.iter().filter(|one| one.container.state.has_processes());
        let counted = running.clone().count() as u64;
        let mut totals = self.rows.map(|rows| rows * counted);
        totals[Group::State as usize] = self.rows[Group::State as usize] * containers.len() as u64;
        let tables: Vec<&TableWeight> = self.tables.iter().filter(|table| groups.has(table.group)).collect();
        for one in running {
            for table in &tables {
                totals[table.group as usize] += table.of(&one.sample);
            }
        }
        totals
    }

    /// The series of one container in one group.
    fn of(&self, one: &ContainerSample, group: Group) -> u64 {
        // What has no processes shows its state and nothing else.
        if group != Group::State && !one.container.state.has_processes() {
            return 0;
        }
        let tables = self.tables.iter().filter(|table| table.group == group);
        self.rows[group as usize] + tables.map(|table| table.of(&one.sample)).sum::<u64>()
    }
}

impl TableWeight {
    fn of(&self, sample: &Sample) -> u64 {
        let entries = sample.table(self.dimension).entries.len().min(self.entries_max);
        entries as u64 * self.columns
    }
}

/// The series of a row that is in no table.
fn series_of(row: &Row) -> u64 {
    match (row.source, row.def.attributes.first().map(|attribute| attribute.values)) {
        (Source::StateSet(_), Some(Values::Closed(states))) => states.len() as u64,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;
    use crate::{Absence, Container, ContainerId, Engine, Reading, State, catalogue::ids};

    const NETWORK: Groups = Groups::NONE.with(Group::Network);

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// A container that was made then, with so many interfaces.
    fn one(id: &str, made: u64, interfaces: usize) -> ContainerSample {
        let mut container = Container::new(ContainerId::new(id), Engine::Docker, State::Running);
        container.created_at = Some(at(made));
        let mut sample = Sample::of_container(Absence::NotCollected, Groups::all());
        for interface in 0..interfaces {
            sample.set_in(ids::NETWORK_RECEIVE_BYTES, &[&format!("eth{interface}")], Reading::int(1));
        }
        ContainerSample::new(container, sample, at(made))
    }

    /// Those that have series of the group.
    fn kept(containers: &[ContainerSample], group: Group) -> Vec<String> {
        let kept = containers.iter().filter(|one| !one.left_out.has(group));
        kept.map(|one| one.container.id.to_string()).collect()
    }

    /// Series of one interface.
    fn interface() -> u64 {
        WEIGHTS.of(&one("a", 0, 1), Group::Network)
    }

    fn cut(containers: &mut [ContainerSample], interfaces_max: u64) -> (Vec<String>, LeftOut) {
        let left_out = Budget::new(interface() * interfaces_max).keep(containers, NETWORK);
        (kept(containers, Group::Network), left_out[0])
    }

    #[test]
    fn within_the_budget_nothing_is_left_out() {
        let mut containers = [one("a", 1, 2), one("b", 2, 1)];
        let (kept, left_out) = cut(&mut containers, 3);
        assert_eq!(kept, ["a", "b"]);
        assert_eq!(left_out, LeftOut { group: Group::Network, containers: 0, series: 0 });
    }

    #[test]
    fn the_youngest_give_way_whole_and_smaller_ones_take_the_room() {
        let mut containers = [one("a", 4, 1), one("b", 1, 1), one("c", 2, 3), one("d", 3, 1)];
        let (kept, left_out) = cut(&mut containers, 3);
        assert_eq!(kept, ["a", "b", "d"], "c has no room and leaves it to others");
        assert_eq!(left_out, LeftOut { group: Group::Network, containers: 1, series: 3 * interface() });
        assert_eq!(containers[2].left_out, NETWORK, "only of this group");
    }

    /// Whoever comes later, whatever its id, takes nothing from those that are there.
    #[test]
    fn newcomers_take_no_series_from_others() {
        let mut before = [one("m", 1, 2), one("n", 2, 2), one("o", 3, 2)];
        let (kept_before, _) = cut(&mut before, 4);
        let mut after = [one("a", 9, 1), one("m", 1, 2), one("n", 2, 2), one("o", 3, 2), one("z", 8, 3)];
        assert_eq!(cut(&mut after, 4).0, kept_before);
    }

    #[test]
    fn what_could_not_be_read_changes_nothing_for_others() {
        let memory = Groups::NONE.with(Group::Memory);
        let budget = Budget::new(WEIGHTS.rows[Group::Memory as usize] * 2);
        let mut containers = [one("a", 1, 0), one("b", 2, 0), one("c", 3, 0)];
        containers[0].sample = Sample::of_container(Absence::Timeout, Groups::all()).into();
        budget.keep(&mut containers, memory);
        assert_eq!(kept(&containers, Group::Memory), ["a", "b"]);
    }

    #[test]
    fn what_has_ended_counts_for_its_state_only() {
        let mut ended = one("a", 1, 0);
        ended.container = Container::new(ContainerId::new("a"), Engine::Docker, State::Exited).into();
        let budget = Budget::new(WEIGHTS.rows[Group::Cpu as usize].max(WEIGHTS.rows[Group::State as usize]));
        let mut containers = [ended, one("b", 2, 0)];
        budget.keep(&mut containers, Groups::NONE.with(Group::Cpu).with(Group::State));
        assert_eq!(kept(&containers, Group::Cpu), ["a", "b"]);
        assert_eq!(kept(&containers, Group::State), ["a"], "the older by when it was first seen");
    }

    proptest! {
        /// Whatever there is: no group is over its budget, what is left out is counted, and nobody is left out for whom there
        /// is room.
        #[test]
        fn budgets_are_kept_whatever_there_is(
            made in proptest::collection::vec((0_u64..5, 0_usize..7), 0..12),
            most in 1_u64..400,
        ) {
            let mut containers: Vec<_> = (0..).zip(&made).map(|(n, (at, interfaces))| one(&format!("{n:02}"), *at, *interfaces)).collect();
            for left in Budget::new(most).keep(&mut containers, Groups::all()) {
                let of = |is_left: bool| {
                    let those = containers.iter().filter(move |one| one.left_out.has(left.group) == is_left);
                    those.map(|one| WEIGHTS.of(one, left.group))
                };
                let shown: u64 = of(false).sum();
                prop_assert!(shown <= most, "{left:?}: {shown}");
                prop_assert_eq!((left.containers, left.series), (of(true).count() as u64, of(true).sum()));
                prop_assert!(of(true).all(|series| shown + series > most), "{left:?}: there is room");
            }
        }
    }

    /// The default does not touch a thousand containers with everything on, nor twenty thousand with the standard groups.
    #[test]
    fn the_default_is_for_hosts_that_are_too_large() {
        let most = crate::Options::default().series_per_group;
        for group in Group::ALL {
            let tables = WEIGHTS.tables.iter().filter(|table| table.group == group);
            let entries = |entries: u64| tables.clone().map(|table| table.columns * entries).sum::<u64>();
            let rows = WEIGHTS.rows[group as usize];
            assert!(1_000 * (rows + entries(16)) <= most, "{group:?}: {rows} rows, {} columns", entries(1));
            let in_a_crowd = 20_000 * (rows + entries(2));
            assert!(!group.is_standard() || in_a_crowd <= most, "{group:?}: {in_a_crowd}");
        }
    }
}
