//! The catalogue: what each number means and where it comes from, once.
//!
//! A row is a [`MetricDef`] with its [`Entity`] and [`Source`]. Samplers, sinks, documents and tests all walk this
//! table. **A metric whose source is a known kernel file is added here, as one row**, in the file of its group.

mod cpu;
mod cpu_detail;
mod engine;
mod exporter;
mod filesystem;
mod filesystem_detail;
mod gpu;
mod gpu_host;
mod host;
mod huge_pages;
mod io;
mod io_detail;
mod memory;
mod memory_detail;
mod memory_numa;
mod network;
mod network_detail;
mod pids;
mod pressure;
mod processes;
mod resources;
mod state;

use std::sync::{Arc, LazyLock};

use cgroup_reader::{Field, Place, SourceKey};
use metric_schema::{MetricDef, Values};

use crate::{Container, Group, Groups, Reading, Sample};

/// Where a row stands in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId(u16);

impl RowId {
    /// As an index of [`Sample`]'s readings.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Whose number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// One container: its series carry the container's identity.
    Container,
    /// The host, or all its containers together.
    Host,
    /// This exporter.
    Exporter,
}

/// A table's kind of key. Those of containers' standard groups come first, then those of their other groups, so that most samples hold
/// few tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Dimension {
    /// A block device that a cgroup used.
    Device,
    /// A network interface.
    Interface,
    /// The file system under a container's writable layer.
    Filesystem,
    /// A block device of the group io_detail, which is apart so that pages without it have narrow tables.
    DeviceDetail,
    /// A memory node.
    Node,
    /// A size of huge pages.
    PageSize,
    /// An RDMA device.
    RdmaDevice,
    /// A resource of the controller `misc`.
    Resource,
    /// A region of device memory.
    Region,
    /// A volume or bind mount of a container.
    Mount,
    /// A GPU, or a part of one.
    Gpu,
    /// A container state.
    State,
    /// How a run ended.
    Outcome,
    /// The machine's own ids.
    Machine,
    /// A source of identities.
    Source,
    /// An engine that answers.
    EngineInfo,
    /// A group and the reason why its numbers are absent.
    Absent,
    /// Why something was dropped.
    Reason,
    /// The build.
    Build,
    /// How an HTTP request was answered.
    Http,
    /// The versions that cAdvisor reports.
    Versions,
    /// A kind of thing that an engine holds.
    EngineObject,
    /// Disk space of an engine, by what holds it and whether it could be had back.
    EngineDisk,
    /// A question to an engine, and why it has no answer.
    EngineAnswer,
    /// An image that an engine holds.
    Image,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 25] = [
        Self::Device,
        Self::Interface,
        Self::Filesystem,
        Self::DeviceDetail,
        Self::Node,
        Self::PageSize,
        Self::RdmaDevice,
        Self::Resource,
        Self::Region,
        Self::Mount,
        Self::Gpu,
        Self::State,
        Self::Outcome,
        Self::Machine,
        Self::Source,
        Self::EngineInfo,
        Self::Absent,
        Self::Reason,
        Self::Build,
        Self::Http,
        Self::Versions,
        Self::EngineObject,
        Self::EngineDisk,
        Self::EngineAnswer,
        Self::Image,
    ];

    /// The label names, in the order of an entry's label values. A row shows those that its attributes name.
    #[must_use]
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Device | Self::DeviceDetail => &["device", "major", "minor"],
            Self::Interface => &["interface"],
            Self::Filesystem | Self::RdmaDevice => &["device"],
            Self::Node => &["node"],
            Self::PageSize => &["pagesize"],
            Self::Resource => &["resource"],
            Self::Region => &["region"],
            Self::State => &["state"],
            Self::Outcome => &["outcome"],
            Self::Machine => &["boot_id", "machine_id", "system_uuid"],
            Self::Source => &["source"],
            Self::EngineInfo => {
                &["source", "engine", "version", "api_version", "cgroup_driver", "storage_driver", "endpoint"]
            }
            Self::Absent => &["group", "reason"],
            Self::Reason => &["reason"],
            Self::Build => &["version", "revision"],
            Self::Http => &["handler", "code"],
            Self::Versions => {
                &["kernelVersion", "osVersion", "dockerVersion", "cadvisorVersion", "cadvisorRevision"]
            }
            Self::EngineObject => &["source", "type"],
            Self::EngineDisk => &["source", "type", "reclaimable"],
            Self::EngineAnswer => &["source", "question", "reason"],
            Self::Mount => &["mount", "volume", "type"],
            Self::Image => &["source", "image_id", "image", "digest"],
            Self::Gpu => &["gpu", "model", "make", "acc_id"],
        }
    }
}

/// What a [`Source::Derived`] formula may look at.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What the engine says.
    pub container: &'a Container,
    /// What was read, the container's other rows included.
    pub sample: &'a Sample,
}

impl Inputs<'_> {
    /// The whole number of another row.
    #[must_use]
    pub fn int(&self, row: RowId) -> Option<u64> {
        self.sample.get(row).as_u64()
    }
}

/// Labels of an info row: names are fixed, values are the container's.
pub type InfoLabels = Vec<(&'static str, Arc<str>)>;

/// Where a row's number comes from.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Source {
    /// A word of a kernel file.
    Key(SourceKey),
    /// A column of a kernel file with a line (or lines) for each device, interface, ….
    PerKey(Dimension, SourceKey),
    /// A word of several kernel files, whose names hold the table's key where the address has `*`: `hugetlb.*.current`.
    PerFile(Dimension, SourceKey),
    /// A formula over other rows of the same sample.
    Derived(fn(&Inputs<'_>) -> Reading),
    /// A field of the engine's description.
    Engine(fn(&Container) -> Reading),
    /// One of a closed set of states: the index into the attribute's values of the one that holds, where it is known.
    StateSet(fn(&Container) -> Option<usize>),
    /// The value 1 with labels that describe.
    Info(fn(&Container) -> InfoLabels),
    /// Filled by the sampler's own code: more than one file, or a formula over the tree.
    Sampler,
    /// As `Sampler`, by device or the like.
    SamplerTable(Dimension),
    /// As `Sampler`, counted since the sampler opened the container: the collector goes on with the sum where another run, or another
    /// look of its own, begins anew.
    SamplerWatched,
    /// Kept by the collector while it watches.
    Collector,
    /// As `Collector`, by outcome, source or the like.
    CollectorTable(Dimension),
}

impl Source {
    /// Whether a sampler fills the row, by its plan or by its own code; where it cannot, the row is absent for a reason.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        match self {
            Self::Key(_)
            | Self::PerKey(..)
            | Self::PerFile(..)
            | Self::Sampler
            | Self::SamplerTable(_)
            | Self::SamplerWatched => true,
            Self::Derived(_)
            | Self::Engine(_)
            | Self::StateSet(_)
            | Self::Info(_)
            | Self::Collector
            | Self::CollectorTable(_) => false,
        }
    }

    /// The table that the row is a column of.
    #[must_use]
    pub const fn dimension(&self) -> Option<Dimension> {
        match self {
            Self::PerKey(dimension, _)
            | Self::PerFile(dimension, _)
            | Self::SamplerTable(dimension)
            | Self::CollectorTable(dimension) => Some(*dimension),
            _ => None,
        }
    }

    /// The word of this cgroup file that the row reads, as cgroup v1 or v2 spells it.
    #[must_use]
    pub fn word(&self, file: &str, is_v1: bool) -> Option<&'static str> {
        let Self::Key(key) = self else { return None };
        let at = if is_v1 { key.v1 } else { key.v2 }?;
        match (at.place, at.field) {
            (Place::Cgroup(_, name), Field::Key(word)) if name == file => Some(word),
            _ => None,
        }
    }
}

/// One row of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What it means.
    pub def: MetricDef,
    /// Its group.
    pub group: Group,
    /// Whose number it is.
    pub entity: Entity,
    /// Where it comes from.
    pub source: Source,
    /// Only an input of other rows: never shown.
    pub hidden: bool,
}

/// When what a row sums up was 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Birth {
    /// Nobody knows: the kernel counts since the boot, or since the counting was switched on.
    Unknown,
    /// At the start of the container's run.
    Run,
    /// When this process first saw the container.
    FirstSeen,
    /// When this process started to watch.
    Watch,
}

/// The most entries of one table of one entity that a sink writes, whatever a row's attributes allow together.
const TABLE_ENTRIES_MAX: usize = 512;

impl Row {
    /// When what the row sums up was 0: the created timestamp of Prometheus, the start time of OTLP. Means nothing for a
    /// gauge.
    #[must_use]
    pub const fn birth(&self) -> Birth {
        match (self.entity, &self.source) {
            (Entity::Container, Source::Collector | Source::CollectorTable(_) | Source::SamplerWatched) => {
                Birth::FirstSeen
            }
            (Entity::Container, _) => Birth::Run,
            (_, Source::Collector | Source::CollectorTable(_)) => Birth::Watch,
            _ => Birth::Unknown,
        }
    }

    /// The most entries of one entity's table that a sink writes in this row.
    #[must_use]
    pub fn entries_max(&self) -> usize {
        let allowed = self.def.attributes.iter().map(|attribute| match attribute.values {
            Values::Closed(values) => values.len(),
            Values::Capped(most) => most,
            Values::Given => TABLE_ENTRIES_MAX,
        });
        allowed.fold(1, usize::saturating_mul).min(TABLE_ENTRIES_MAX)
    }

    const fn new(group: Group, entity: Entity, def: MetricDef, source: Source) -> Self {
        Self { def, group, entity, source, hidden: false }
    }

    const fn container(group: Group, def: MetricDef, source: Source) -> Self {
        Self::new(group, Entity::Container, def, source)
    }

    const fn host(def: MetricDef, source: Source) -> Self {
        Self::new(Group::Host, Entity::Host, def, source)
    }

    const fn exporter(def: MetricDef, source: Source) -> Self {
        Self::new(Group::Exporter, Entity::Exporter, def, source)
    }

    /// An input of other rows.
    const fn input(group: Group, def: MetricDef, source: Source) -> Self {
        let mut row = Self::container(group, def, source);
        row.hidden = true;
        row
    }
}

/// Makes the rows of one file: a constant [`RowId`] for each, and the slice `ROWS`.
macro_rules! rows {
    ($base:expr; $($id:ident = $row:expr;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "they only count the rows")]
        #[repr(u16)]
        enum Order { $($id),* }
        $(
            #[doc = concat!("The row `", stringify!($id), "`.")]
            pub const $id: super::RowId = super::RowId($base + Order::$id as u16);
        )*
        pub(super) const ROWS: &[super::Row] = &[$($row),*];
        #[allow(dead_code, reason = "the last file's end has no follower")]
        pub(super) const END: u16 = $base + ROWS.len() as u16;
    };
}
use rows;

#[cfg(feature = "kernel")]
pub(crate) use {
    network_detail::{TCP_HELD, TCP_STATES, UDP_HELD, UDP_NUMBERS},
    processes::ULIMITS,
};

/// The row ids, by name.
pub mod ids {
    pub use super::{
        cpu::ids::*, cpu_detail::ids::*, engine::ids::*, exporter::ids::*, filesystem::ids::*,
        filesystem_detail::ids::*, gpu::ids::*, gpu_host::ids::*, host::ids::*, huge_pages::ids::*,
        io::ids::*, io_detail::ids::*, memory::ids::*, memory_detail::ids::*, memory_numa::ids::*,
        network::ids::*, network_detail::ids::*, pids::ids::*, pressure::ids::*, processes::ids::*,
        resources::ids::*, state::ids::*,
    };
}

/// The whole table with what is computed from it.
#[derive(Debug)]
pub struct Catalogue {
    rows: Vec<&'static Row>,
    container_rows: usize,
    standard_rows: usize,
    columns: [Vec<RowId>; Dimension::ALL.len()],
    column_of: Vec<Option<(Dimension, usize)>>,
    /// The groups of containers' rows that stand in each table.
    table_groups: [Groups; Dimension::ALL.len()],
}

impl Catalogue {
    fn build() -> Self {
        let files: [&'static [Row]; 22] = [
            state::ROWS,
            cpu::ROWS,
            memory::ROWS,
            io::ROWS,
            network::ROWS,
            pids::ROWS,
            pressure::ROWS,
            filesystem::ROWS,
            // Opt-in groups stand last of a container's, so that samples without them are short.
            memory_detail::ROWS,
            cpu_detail::ROWS,
            processes::ROWS,
            io_detail::ROWS,
            huge_pages::ROWS,
            memory_numa::ROWS,
            resources::ROWS,
            filesystem_detail::ROWS,
            network_detail::ROWS,
            gpu::ROWS,
            host::ROWS,
            gpu_host::ROWS,
            engine::ROWS,
            exporter::ROWS,
        ];
        let rows: Vec<&'static Row> = files.into_iter().flatten().collect();
        let mut columns = std::array::from_fn(|_| Vec::new());
        let column_of = rows
            .iter()
            .zip(0..)
            .map(|(row, index)| {
                let dimension = row.source.dimension()?;
                let column: &mut Vec<RowId> = &mut columns[dimension as usize];
                column.push(RowId(index));
                Some((dimension, column.len() - 1))
            })
            .collect();
        let container_rows = rows.iter().take_while(|row| row.entity == Entity::Container).count();
        let standard_rows = rows[..container_rows].iter().take_while(|row| row.group.is_standard()).count();
        let groups_of = |ids: &Vec<RowId>| {
            let rows = ids.iter().map(|id| rows[id.index()]);
            rows.filter(|row| row.entity == Entity::Container).map(|row| row.group).collect()
        };
        let table_groups = columns.each_ref().map(groups_of);
        Self { rows, container_rows, standard_rows, columns, column_of, table_groups }
    }

    /// How many rows there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many of the first rows are of the entity container; the others are not.
    #[must_use]
    pub const fn container_rows(&self) -> usize {
        self.container_rows
    }

    /// How many of the first rows it takes to hold a container's rows of these groups.
    #[must_use]
    pub fn container_rows_of(&self, groups: Groups) -> usize {
        let is_opt_in = |group: &Group| !group.is_standard() && groups.has(*group);
        if Group::ALL.iter().any(is_opt_in) { self.container_rows } else { self.standard_rows }
    }

    /// One row.
    #[must_use]
    pub fn row(&self, id: RowId) -> &'static Row {
        self.rows[id.index()]
    }

    /// All rows, in the order of the pages.
    pub fn iter(&self) -> impl Iterator<Item = (RowId, &'static Row)> + '_ {
        self.rows.iter().zip(0..).map(|(row, index)| (RowId(index), *row))
    }

    /// The rows that are columns of a dimension's table, in column order.
    #[must_use]
    pub fn columns(&self, dimension: Dimension) -> &[RowId] {
        &self.columns[dimension as usize]
    }

    /// The tables that a container's rows of these groups stand in.
    pub fn container_tables(&self, groups: Groups) -> impl Iterator<Item = Dimension> + '_ {
        let has_rows =
            move |dimension: &Dimension| self.table_groups[*dimension as usize].and(groups) != Groups::NONE;
        Dimension::ALL.into_iter().filter(has_rows)
    }

    /// The table and column of a row, where it is one.
    #[must_use]
    pub fn column(&self, row: RowId) -> Option<(Dimension, usize)> {
        self.column_of[row.index()]
    }
}

/// The catalogue.
#[must_use]
pub fn get() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::build);
    &CATALOGUE
}

#[cfg(test)]
mod otel_tests;
#[cfg(test)]
mod tests;
