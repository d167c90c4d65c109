//! The simulated kernel.

use std::sync::{Arc, LazyLock};

use collector_core::{
    Absence, Container, ContainerId, Engine, Entry, Gone, Group, Groups, Network, OnSignal, Probe, Reading,
    Sample, Sampler, State,
    catalogue::{self, Dimension, Entity},
};

use crate::{
    Clock,
    moment::{Moment, Traits},
    random::mix_text,
    shapes::{columns, scalars},
    world::unix_time,
};

/// When the simulated machine was started, Unix seconds.
const BOOT: u64 = 1_767_225_600;

type Labels = Arc<[Arc<str>]>;

/// Label values, made once: a real sampler shares those of most containers, too.
struct Known {
    devices: [Labels; 2],
    interfaces: [Labels; 2],
    filesystem: Labels,
    mount: Labels,
    gpu: Labels,
    /// Tables of one entry.
    singles: [(Dimension, Labels); 5],
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let labels = |values: &[&str]| values.iter().map(|value| Arc::from(*value)).collect::<Labels>();
    let gpu = "GPU-8a1f2c3d-0b4e-4f6a-9c7d-5e2b1a0f3c4d";
    Known {
        devices: [labels(&["nvme0n1", "259", "0"]), labels(&["sda", "8", "0"])],
        interfaces: [labels(&["eth0"]), labels(&["eth1"])],
        filesystem: labels(&["/dev/nvme0n1p2"]),
        mount: labels(&["/data", "data", "volume"]),
        gpu: labels(&[gpu, "NVIDIA A2", "nvidia", gpu]),
        singles: [
            (Dimension::Node, labels(&["0"])),
            (Dimension::PageSize, labels(&["2MB"])),
            (Dimension::RdmaDevice, labels(&["mlx5_0"])),
            (Dimension::Resource, labels(&["sev"])),
            (Dimension::Region, labels(&["drm/0000:03:00.0/vram0"])),
        ],
    }
});

/// Fills every row that a kernel would, on a machine with cgroup v2.
#[derive(Debug)]
pub struct SimSampler {
    clock: Clock,
    seed: u64,
    /// The root cgroup, as if it were a container; the host's numbers too.
    root: Traits,
}

impl SimSampler {
    /// The same clock as the inventory's makes the numbers fit its states.
    #[must_use]
    pub fn new(clock: impl Into<Clock>, seed: u64) -> Self {
        let mut root = Container::new(ContainerId::new("/"), Engine::Simulated, State::Running);
        root.started_at = Some(unix_time(BOOT));
        Self { clock: clock.into(), seed, root: Traits::of(&root, seed) }
    }
}

impl Sampler for SimSampler {
    fn open(&self, container: &Container, _on_signal: OnSignal) -> Result<Box<dyn Probe>, Absence> {
        Ok(Box::new(SimProbe { clock: self.clock.clone(), traits: Traits::of(container, self.seed) }))
    }

    fn host(&self, groups: Groups, out: &mut Sample) {
        let moment = self.root.at(self.clock.now());
        fill(Entity::Host, groups, &moment, out);
        table(Dimension::Gpu, groups, &KNOWN.gpu, 0, &moment, out);
        let id = |what: &str| {
            let hash = mix_text(self.seed, what);
            format!(
                "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
                hash >> 32,
                hash >> 16 & 0xffff,
                hash & 0xfff,
                hash >> 8 & 0xfff,
                hash >> 4 & 0xffff_ffff_ffff
            )
        };
        let (boot, machine, system) = (id("boot"), id("machine").replace('-', ""), id("system"));
        let ids: Labels = Arc::new([boot, machine, system].map(Arc::from));
        table(Dimension::Machine, groups, &ids, 0, &moment, out);
    }

    fn root(&self, groups: Groups, out: &mut Sample) -> bool {
        let moment = self.root.at(self.clock.now());
        fill(Entity::Container, groups, &moment, out);
        fill_tables(groups, &moment, out);
        out.cgroup = Some("/".into());
        true
    }
}

struct SimProbe {
    clock: Clock,
    traits: Traits,
}

impl Probe for SimProbe {
    fn sample(&mut self, groups: Groups, out: &mut Sample) -> Result<(), Gone> {
        let moment = self.traits.at(self.clock.now());
        fill(Entity::Container, groups, &moment, out);
        fill_tables(groups, &moment, out);
        Ok(())
    }
}

fn fill(entity: Entity, groups: Groups, moment: &Moment<'_>, out: &mut Sample) {
    for shape in scalars(entity).filter(|shape| groups.has(shape.group)) {
        out.set(shape.id, shape.read(moment, 0));
    }
}

fn fill_tables(groups: Groups, moment: &Moment<'_>, out: &mut Sample) {
    let devices = if moment.is_one_in(10, 3) { 2 } else { 1 };
    for (number, labels) in KNOWN.devices.iter().enumerate().take(devices) {
        table(Dimension::Device, groups, labels, number, moment, out);
        table(Dimension::DeviceDetail, groups, labels, number, moment, out);
    }
    table(Dimension::Mount, groups, &KNOWN.mount, 0, moment, out);
    table(Dimension::Gpu, groups, &KNOWN.gpu, 0, moment, out);
    for (dimension, labels) in &KNOWN.singles {
        table(*dimension, groups, labels, 0, moment, out);
    }
    let (interfaces, absence) = match moment.traits.network {
        Network::Host => (0, Some(Absence::HostNetwork)),
        Network::None => (0, Some(Absence::NoNetwork)),
        _ => (if moment.is_one_in(11, 8) { 2 } else { 1 }, None),
    };
    for (number, labels) in KNOWN.interfaces.iter().enumerate().take(interfaces) {
        table(Dimension::Interface, groups, labels, number, moment, out);
    }
    if groups.has(Group::Network) {
        out.table_mut(Dimension::Interface).absence = absence;
    }
    // One in fifty has a storage driver whose layers are not directories.
    if moment.is_one_in(12, 50) && groups.has(Group::Filesystem) {
        out.table_mut(Dimension::Filesystem).absence = Some(Absence::NotReachable);
    } else {
        table(Dimension::Filesystem, groups, &KNOWN.filesystem, 0, moment, out);
    }
}

/// Adds an entry, if one of the table's rows is wanted.
fn table(
    dimension: Dimension,
    groups: Groups,
    labels: &Labels,
    number: usize,
    moment: &Moment<'_>,
    out: &mut Sample,
) {
    let mut cells = Vec::new();
    for shape in columns(dimension).iter().filter(|shape| groups.has(shape.group)) {
        let Some((_, column)) = catalogue::get().column(shape.id) else { continue };
        if cells.is_empty() {
            let width = catalogue::get().columns(dimension).len();
            cells = vec![Reading::Absent(Absence::NotCollected); width];
        }
        cells[column] = shape.read(moment, number);
    }
    if !cells.is_empty() {
        out.table_mut(dimension).entries.push(Entry { labels: Arc::clone(labels), cells });
    }
}
