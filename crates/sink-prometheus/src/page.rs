//! The walk over families, rows and containers that writes a page, a chunk at a time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use collector_core::{
    Absence, Group, Groups, Reading, Sample, Snapshot, Value,
    catalogue::{Birth, Entity, ids},
};
use exposition::{Encoder, Format, LabelBlock, Labels, Number};

use crate::{
    Extra, Wanted,
    ahead::{Ahead, ScalarRow, TableRow},
    plan::{FamilyPlan, Plan, Read, RowPlan, TablePlan},
    roster::{self, Roster},
};

/// Blocks of one row's dimension that are kept while the row is written: most containers have the same devices and
/// interfaces.
const TAILS_MAX: usize = 16;

/// The chunks of a page, each of about 64 KiB, written as they are asked for.
///
/// It owns what it reads, so it can go with a response; dropping it frees that. A protobuf chunk holds whole families
/// and is as large as its largest.
#[must_use = "nothing is written until it is asked for"]
pub struct Chunks {
    plan: Arc<Plan>,
    snapshot: Arc<Snapshot>,
    roster: Arc<Roster>,
    /// What to write, as places in the plan, rising.
    families: Vec<usize>,
    at: Place,
    ahead: Ahead,
    writer: Writer,
    extra: Option<(Extra, Wanted)>,
    refused: Arc<AtomicU64>,
    finished: bool,
}

/// Where the walk stands.
#[derive(Debug, Default)]
struct Place {
    family: usize,
    row: usize,
    container: usize,
}

impl Place {
    fn next_family(&mut self) {
        *self = Self { family: self.family + 1, row: 0, container: 0 };
    }
}

/// What a page is made of.
pub(crate) struct Parts {
    pub(crate) plan: Arc<Plan>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) families: Vec<usize>,
    pub(crate) groups: Groups,
    pub(crate) extra: Option<Extra>,
    pub(crate) wanted: Wanted,
    pub(crate) refused: Arc<AtomicU64>,
}

impl std::fmt::Debug for Chunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunks")
            .field("at", &self.at)
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}

impl Chunks {
    pub(crate) fn new(parts: Parts, format: Format) -> Self {
        let Parts { plan, snapshot, roster, families, groups, extra, wanted, refused } = parts;
        Self {
            ahead: Ahead::of(&plan, &families),
            plan,
            snapshot,
            roster,
            families,
            at: Place::default(),
            writer: Writer::new(format),
            extra: extra.filter(|_| groups.has(Group::Exporter)).map(|extra| (extra, wanted)),
            refused,
            finished: false,
        }
    }

    /// Writes one row, or as much of it as fills a chunk.
    fn step(&mut self) {
        let plan = Arc::clone(&self.plan);
        let Some(&place) = self.families.get(self.at.family) else { return self.finish() };
        let family = &plan.families[place];
        if self.at.row == 0
            && self.at.container == 0
            && self.writer.encoder.family(&family.describe()).is_err()
        {
            self.writer.refused += 1;
            return self.at.next_family();
        }
        let Some(row) = family.rows.get(self.at.row) else { return self.at.next_family() };
        let snapshot = Arc::clone(&self.snapshot);
        match family.entity {
            Entity::Container => {
                if !self.containers(family, row) {
                    return;
                }
            }
            Entity::Host => self.lone(row, &snapshot.host),
            Entity::Exporter => self.lone(row, &snapshot.exporter),
        }
        self.writer.end_row();
        self.at.row += 1;
        self.at.container = 0;
    }

    /// One row of all containers; false if a chunk is full before the last.
    fn containers(&mut self, family: &FamilyPlan, row: &RowPlan) -> bool {
        let Self { plan, snapshot, roster, at, ahead, writer, .. } = self;
        if let (0, true, Some(identity), Some(root)) =
            (at.container, family.of_root, &plan.root, &snapshot.root)
        {
            writer.sample_row(row, identity.into(), root, None);
        }
        let values = match &row.read {
            Read::Sample(tail) => Values::Scalar(ahead.row(row.id, snapshot), tail),
            Read::Table(table) => Values::Table(ahead.column(table.dimension, table.column, snapshot), table),
            Read::Engine(_, tail) => Values::Scalar(ahead.described(row.id, snapshot), tail),
            Read::States(_, tails) => Values::States(ahead.described(row.id, snapshot), tails),
            Read::Info(place) => Values::Info(*place),
        };
        let members = roster.members().iter().zip(&snapshot.containers);
        for (member, one) in members.skip(at.container) {
            let place = at.container;
            at.container += 1;
            let is_hidden = family.running_only && !member.running;
            if !member.shown || is_hidden || member.left_out.has(family.group) {
                continue;
            }
            let identity = roster.identities.get(place, &member.entry.identity);
            let born = match row.birth {
                Birth::Unknown => None,
                // A run whose start nobody told has none: first sight would be too late, and the server would take all
                // that was counted before for a rise.
                Birth::Run => member.started_at,
                Birth::FirstSeen => Some(one.first_seen),
                Birth::Watch => Some(snapshot.watched_since),
            };
            match &values {
                Values::Scalar(cells, tail) => {
                    writer.reading(identity, tail, cells.get(place), born);
                }
                Values::Table(cells, table) => {
                    writer.entries(table, cells, place, identity, &one.sample, born);
                }
                Values::States(cells, tails) => {
                    let Some(current) = cells.get(place).as_u64() else { continue };
                    for (state, tail) in (0..).zip(*tails) {
                        let is_in = Reading::int(u64::from(state == current));
                        writer.reading(identity, tail, is_in, None);
                    }
                }
                Values::Info(place) => {
                    writer.reading(identity, &member.entry.infos[*place], Reading::int(1), None);
                }
            }
            if writer.encoder.is_chunk_ready() {
                return false;
            }
        }
        true
    }

    /// One row of the host or the exporter.
    fn lone(&mut self, row: &RowPlan, sample: &Sample) {
        let born = (row.birth == Birth::Watch).then_some(self.snapshot.watched_since);
        if let (true, Reading::Absent(_)) = (row.id == ids::LABELS_DROPPED, sample.get(row.id)) {
            // Only who writes the page knows.
            let dropped = Reading::int(self.roster.labels_dropped);
            let nobody = &self.plan.nobody;
            return self.writer.reading(nobody.into(), nobody, dropped, born);
        }
        self.writer.sample_row(row, (&self.plan.nobody).into(), sample, born);
    }

    fn finish(&mut self) {
        if let Some((extra, wanted)) = self.extra.take() {
            extra(&mut self.writer.encoder, &wanted);
        }
        self.writer.encoder.finish();
        self.finished = true;
        let refused = self.writer.refused + self.writer.encoder.refused_samples();
        self.refused.fetch_add(refused, Ordering::Relaxed);
    }
}

impl Iterator for Chunks {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        while !self.finished && !self.writer.encoder.is_chunk_ready() {
            self.step();
        }
        let chunk = self.writer.encoder.take();
        (!chunk.is_empty()).then_some(chunk)
    }
}

/// Where the values of one row of all containers are.
enum Values<'a> {
    Scalar(ScalarRow<'a>, &'a LabelBlock),
    Table(TableRow<'a>, &'a TablePlan),
    /// The place of the state that each is in, and the blocks of all states.
    States(ScalarRow<'a>, &'a [LabelBlock]),
    /// The place of the block among a container's own.
    Info(usize),
}

/// The encoder with what is kept while a row is written.
struct Writer {
    encoder: Encoder,
    /// Blocks of the row's dimension, by the place of their labels; made when they are first written.
    by_place: Vec<Option<LabelBlock>>,
    /// Blocks of the row's dimension, with the values that they show.
    tails: Vec<(Box<[Arc<str>]>, LabelBlock)>,
    /// Which of them is made anew next.
    oldest: usize,
    /// Entries of the table at hand that have a series.
    written: Vec<usize>,
    refused: u64,
}

impl Writer {
    fn new(format: Format) -> Self {
        Self {
            encoder: Encoder::new(format),
            by_place: Vec::new(),
            tails: Vec::new(),
            oldest: 0,
            written: Vec::new(),
            refused: 0,
        }
    }

    /// Forgets what belongs to one row.
    fn end_row(&mut self) {
        self.tails.clear();
        self.by_place.clear();
    }

    /// As [`table`](Self::table), of entries that were taken ahead.
    fn entries(
        &mut self,
        plan: &TablePlan,
        row: &TableRow<'_>,
        container: usize,
        identity: Labels<'_>,
        sample: &Sample,
        born: Option<SystemTime>,
    ) {
        let entries = row.entries(container);
        if entries.clone().any(|entry| row.place(entry).is_none()) {
            return self.table(plan, identity, sample, born);
        }
        let shown = |place: usize| plan.shown.iter().map(move |&(at, _)| row.labels()[place].get(at));
        self.written.clear();
        for entry in entries {
            let (Some(place), Some(value)) = (row.place(entry), row.get(entry).value()) else { continue };
            let same = |other: &usize| *other == place || shown(*other).eq(shown(place));
            if self.written.len() >= plan.entries_max || self.written.iter().any(same) {
                self.refused += 1;
                continue;
            }
            self.written.push(place);
            if self.by_place.len() <= place {
                self.by_place.resize(place + 1, None);
            }
            let tail = self.by_place[place].get_or_insert_with(|| block(plan, &row.labels()[place]));
            self.encoder.sample_of(&[identity, (&*tail).into()], number(value), born);
        }
    }

    /// A series, if there is a value.
    #[inline]
    fn reading(
        &mut self,
        identity: Labels<'_>,
        tail: &LabelBlock,
        reading: Reading,
        born: Option<SystemTime>,
    ) {
        let Some(value) = reading.value() else { return };
        let number = number(value);
        if tail.is_empty() {
            self.encoder.sample_of(&[identity], number, born);
        } else {
            self.encoder.sample_of(&[identity, tail.into()], number, born);
        }
    }

    /// The series of a row that stands in a sample.
    #[inline]
    fn sample_row(&mut self, row: &RowPlan, identity: Labels<'_>, sample: &Sample, born: Option<SystemTime>) {
        match &row.read {
            Read::Sample(tail) | Read::Engine(_, tail) => {
                self.reading(identity, tail, sample.get(row.id), born);
            }
            Read::Table(table) => self.table(table, identity, sample, born),
            Read::States(..) | Read::Info(_) => {}
        }
    }

    /// A series for each entry of a table that has a value in this column. Entries that show the same labels would
    /// take the page down: the first stays.
    fn table(&mut self, plan: &TablePlan, identity: Labels<'_>, sample: &Sample, born: Option<SystemTime>) {
        let entries = &sample.table(plan.dimension).entries;
        self.written.clear();
        for (place, entry) in entries.iter().enumerate() {
            let cell = entry.cells.get(plan.column).copied();
            let Some(value) = cell.unwrap_or(Reading::Absent(Absence::NotCollected)).value() else {
                continue;
            };
            let label = |of: usize, at: usize| entries[of].labels.get(at).map_or("", |value| &**value);
            let same =
                |other: &usize| plan.shown.iter().all(|&(at, _)| label(*other, at) == label(place, at));
            if self.written.len() >= plan.entries_max || self.written.iter().any(same) {
                self.refused += 1;
                continue;
            }
            self.written.push(place);
            let tail = self.tail(plan, &entry.labels);
            self.encoder.sample_of(&[identity, (&self.tails[tail].1).into()], number(value), born);
        }
    }

    /// The place of the block with these values, made if it is not there.
    fn tail(&mut self, plan: &TablePlan, labels: &[Arc<str>]) -> usize {
        let shown = || plan.shown.iter().filter_map(|&(at, _)| labels.get(at));
        if let Some(place) = self.tails.iter().position(|(values, _)| values.iter().eq(shown())) {
            return place;
        }
        let made = (shown().cloned().collect(), block(plan, labels));
        if self.tails.len() < TAILS_MAX {
            self.tails.push(made);
            return self.tails.len() - 1;
        }
        self.oldest = (self.oldest + 1) % TAILS_MAX;
        self.tails[self.oldest] = made;
        self.oldest
    }
}

/// The labels behind the identity of an entry's series.
fn block(plan: &TablePlan, labels: &[Arc<str>]) -> LabelBlock {
    let named = plan.shown.iter().filter_map(|&(at, name)| Some((name, &**labels.get(at)?)));
    let pairs: Vec<(&str, &str)> = plan
        .fixed
        .iter()
        .copied()
        .chain(named.map(|(name, value)| (name, roster::cut(value, roster::IDENTITY_BYTES_MAX))))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    LabelBlock::new(&pairs).unwrap_or_default()
}

#[inline]
fn number(value: Value) -> Number {
    match value {
        Value::Int(value) => Number::Integer(value),
        Value::Nanos(nanos) => Number::Nanoseconds(nanos),
        Value::Float(value) => Number::Float(value),
    }
}
