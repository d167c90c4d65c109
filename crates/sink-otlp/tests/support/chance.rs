//! Snapshots by chance: a seed decides everything.

use std::sync::Arc;

use collector_core::{
    Absence, Container, ContainerId, ContainerSample, Engine, Group, Groups, Health, Reading, Sample,
    Snapshot, State, Value,
    catalogue::{self, Entity, Source, ids},
};

use super::{at, id, snapshot};

/// Numbers from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn of<'a, T: ?Sized>(&mut self, among: &[&'a T]) -> &'a T {
        among[self.below(among.len())]
    }
}

/// What strangers write.
pub(crate) const WORDS: [&str; 9] = [
    "",
    "a",
    "ünïcödé 容器",
    "\u{0}\u{1}\u{7f}",
    "\"}\n#",
    "\u{202e}\u{feff}",
    "🦀🦀🦀",
    "\u{10ffff}",
    "x y\tz",
];

const IMAGES: [&str; 7] = [
    "nginx",
    "nginx:1.29",
    "registry.example:5000/team/web",
    "registry.example:5000/team/web:2@sha256:00ff",
    "sha256:00ff",
    "web@sha256:00ff",
    ":",
];

fn reading(chance: &mut Chance) -> Reading {
    match chance.below(9) {
        0 => Reading::Max,
        1 => Reading::int(0),
        2 => Reading::int(u64::MAX),
        3 => Reading::float(Some(-1.0)),
        4 => Reading::float(Some(0.1 + chance.below(1000) as f64)),
        5 => Reading::Value(Value::Nanos(chance.next() >> 8)),
        6 => Reading::Absent(Absence::PermissionDenied),
        _ => Reading::int(chance.next() >> (chance.below(40) + 24)),
    }
}

/// Some rows of an entity.
fn fill(chance: &mut Chance, sample: &mut Sample, entity: Entity) {
    let rows = catalogue::get().iter().filter(|(_, row)| row.entity == entity);
    for (row, definition) in rows.filter(|(row, _)| *row != ids::ENGINE_INFO) {
        if chance.one_in(3)
            || matches!(definition.source, Source::StateSet(_) | Source::Info(_) | Source::Engine(_))
        {
            continue;
        }
        match definition.source.dimension() {
            None => sample.set(row, reading(chance)),
            Some(dimension) => {
                for _ in 0..chance.below(4) {
                    let first = chance.of(&["eth0", "/dev/sda", "🦀", "", "success"]);
                    let labels: Vec<&str> = std::iter::once(first)
                        .chain(std::iter::repeat(chance.of(&["1", "2"])))
                        .take(dimension.labels().len())
                        .collect();
                    sample.set_in(row, &labels, reading(chance));
                }
            }
        }
    }
}

fn container(chance: &mut Chance, number: usize) -> Container {
    let engine = [Engine::Docker, Engine::Podman, Engine::Kernel][number % 3];
    let state = State::ALL[if chance.one_in(2) { 1 } else { chance.below(7) }];
    let mut container = Container::new(ContainerId::new(&id(number)), engine, state);
    // Of one container this changes seldom, and then it is another Resource.
    container.name = (!chance.one_in(9)).then(|| WORDS[number % WORDS.len()].into());
    container.image = (!number.is_multiple_of(8)).then(|| IMAGES[number % IMAGES.len()].into());
    container.image_id = (!number.is_multiple_of(2)).then(|| "sha256:00ff".into());
    container.runtime = (!number.is_multiple_of(2)).then(|| "runc".into());
    container.pod = chance.one_in(5).then(|| "pod".into());
    container.uid = number.is_multiple_of(5).then_some(1000);
    container.unit = number.is_multiple_of(6).then(|| "a.service".into());
    container.slice = number.is_multiple_of(6).then(|| "system.slice".into());
    container.health =
        [None, Some(Health::NoCheck), Some(Health::Starting), Some(Health::Unhealthy)][chance.below(4)];
    container.exit_code = [None, Some(0), Some(137), Some(-1)][chance.below(4)];
    container.restart_count = chance.one_in(2).then_some(3);
    container.created_at = Some(at(1_700_000_000));
    // Some clocks are ahead.
    container.started_at =
        [None, Some(at(1_700_000_001)), Some(at(1_700_000_055)), Some(at(1_800_000_000))][chance.below(4)];
    container.finished_at = chance.one_in(2).then(|| at(1_700_000_002));
    for (label, word) in WORDS.iter().enumerate().take(number % WORDS.len()) {
        container.labels.insert(format!("{word}{label}"), WORDS[number % WORDS.len()].repeat(label * 9));
    }
    if number.is_multiple_of(4) {
        container.labels.insert("io.kubernetes.pod.uid".to_owned(), "uid".to_owned());
        container.labels.insert(String::new(), "no key".to_owned());
    }
    container
}

/// A snapshot of at most that many containers, some of which other seeds have too.
pub(crate) fn draw(seed: u64, containers_max: usize) -> Arc<Snapshot> {
    let mut chance = Chance(seed);
    let mut containers = Vec::new();
    for number in 0..chance.below(containers_max + 1) {
        if chance.one_in(4) {
            continue;
        }
        let mut sample = Sample::of_container(Absence::NotCollected, Groups::all());
        fill(&mut chance, &mut sample, Entity::Container);
        let first_seen = at(1_700_000_050 + number as u64);
        let mut one = ContainerSample::new(container(&mut chance, number), sample, first_seen);
        if chance.one_in(8) {
            one.left_out = Group::ALL.into_iter().filter(|_| chance.one_in(3)).collect();
        }
        containers.push(one);
    }
    containers.sort_by(|one, other| one.container.id.cmp(&other.container.id));
    let mut snapshot = snapshot(containers);
    snapshot.taken_at = at(1_700_000_100 + (seed & 0xff));
    fill(&mut chance, &mut snapshot.host, Entity::Host);
    fill(&mut chance, &mut snapshot.exporter, Entity::Exporter);
    if !chance.one_in(3) {
        let version = chance.of(&["29.0.1", "29.0.2"]);
        let engine = ["docker", "docker", version, "1.52", "systemd", "overlay2", "unix:///run/docker.sock"];
        snapshot.exporter.set_in(ids::ENGINE_INFO, &engine, Reading::int(1));
    }
    Arc::new(snapshot)
}
