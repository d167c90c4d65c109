//! One container's open files, and what a pass over them means.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cgroup_reader::{
    CgroupPath, Controller, Handle, Host, Slot, Table, Version, parse, read_file, read_text,
};

use super::{
    Shared,
    accelerators::Own,
    layer::Layer,
    limits::Siblings,
    lock,
    mounts::Mounts,
    network::Membership,
    plan::{Columns, PlanSet},
    processes,
    schedstat::Schedstat,
    sockets,
};
use crate::{
    Absence, Entry, Gone, Group, Groups, Probe, Reading, Sample,
    catalogue::{self, Dimension, ids},
    effective::{CpuQuota, Limit, effective_cpu_cores, effective_memory_bytes},
};

thread_local! {
    /// The memory of a pass.
    static ROOM: RefCell<(Vec<Slot>, Vec<Table>)> = RefCell::default();
}

/// The probe of one run of one container.
pub(super) struct KernelProbe {
    shared: Arc<Shared>,
    token: u64,
    handle: Handle,
    cgroup: Arc<str>,
    own: Option<Own>,
    watch: Watch,
    network: Membership,
    /// What the handle was told of its network.
    network_absence: Option<Absence>,
    layer: Layer,
    mounts: Mounts,
    plan: Option<(Groups, Arc<PlanSet>)>,
    siblings: Arc<Siblings>,
    schedstat: Schedstat,
}

/// Whether somebody sees the container's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// A pidfd or an inotify does.
    Seen,
    /// Neither could be had.
    Unseen,
    /// It had ended before the watch stood.
    Ended,
}

impl KernelProbe {
    pub(super) fn new(
        shared: Arc<Shared>,
        token: u64,
        mut handle: Handle,
        path: &CgroupPath,
        watch: Watch,
        network: Membership,
        mounts: Mounts,
    ) -> Self {
        let controllers = match shared.host.version() {
            Version::V2 => [Controller::Core, Controller::Core, Controller::Core],
            Version::V1 => [Controller::Memory, Controller::Cpu, Controller::Pids],
        };
        let cgroup = controllers.into_iter().find_map(|controller| path.get(controller)).unwrap_or("/");
        let cgroup = Arc::from(cgroup);
        let own = shared.accelerators.own(path);
        let network_absence = shared.namespaces.absence(token, network, Instant::now());
        handle.set_network_absence(network_absence);
        let layer = Layer::new(token, handle.process());
        let siblings = shared.limits.siblings(handle.directories());
        Self {
            shared,
            token,
            handle,
            cgroup,
            own,
            watch,
            network,
            network_absence,
            layer,
            mounts,
            plan: None,
            siblings,
            schedstat: Schedstat::default(),
        }
    }

    fn plan(&mut self, groups: Groups) -> Arc<PlanSet> {
        if let Some((same, plan)) = &self.plan
            && *same == groups
        {
            return Arc::clone(plan);
        }
        let plan = self.shared.plans.containers(groups);
        self.plan = Some((groups, Arc::clone(&plan)));
        plan
    }

    /// The owner of a shared namespace may have ended, or come.
    fn settle_network(&mut self) {
        let absence = self.shared.namespaces.absence(self.token, self.network, Instant::now());
        if absence != self.network_absence {
            self.network_absence = absence;
            self.handle.set_network_absence(absence);
        }
    }

    /// Effective limits: the smallest of the container's own, its ancestors' and the host's.
    fn limits(&mut self, groups: Groups, out: &mut Sample) {
        if !groups.has(Group::Memory) && !groups.has(Group::Cpu) {
            return;
        }
        let inherited = self.siblings.inherited(&self.shared.host, self.handle.directories());
        if groups.has(Group::Memory) {
            let reading = match out.get(ids::MEMORY_LIMIT_OWN) {
                Reading::Absent(reason) => Reading::Absent(reason),
                own => {
                    let own = own.as_u64().map_or(Limit::Max, Limit::Value);
                    let host = self.shared.machine.memory_bytes();
                    match effective_memory_bytes(own, [inherited.memory], host) {
                        Limit::Max => Reading::Max,
                        Limit::Value(bytes) => Reading::int(bytes),
                    }
                }
            };
            out.set(ids::MEMORY_LIMIT, reading);
        }
        if groups.has(Group::Cpu) {
            let quota = match (out.get(ids::CPU_SPEC_QUOTA), out.get(ids::CPU_SPEC_PERIOD)) {
                // Where the controller or the file is missing, no quota can be set.
                (Reading::Max | Reading::Absent(Absence::NoController | Absence::NoFile), _) => {
                    Ok(Limit::Max)
                }
                (Reading::Absent(reason), _) | (_, Reading::Absent(reason)) => Err(reason),
                (quota, period) => {
                    let quota = Limit::from(quota.as_u64());
                    Ok(CpuQuota::new(quota, period.as_u64().unwrap_or(0)).cores())
                }
            };
            let cpus = self.shared.machine.online_cpus();
            // Where the controller is not enabled for the container, an ancestor's holds for it.
            let cpuset = out.get(ids::CPUSET_CPUS_OWN).as_u64().and_then(|count| u32::try_from(count).ok());
            let cpuset = cpuset.or(inherited.cpuset);
            out.set(
                ids::CPU_LIMIT,
                match quota {
                    Ok(own) => {
                        let cores = effective_cpu_cores(own, [inherited.cores], cpuset, cpus);
                        Reading::float(cores.value())
                    }
                    Err(reason) => Reading::Absent(reason),
                },
            );
        }
    }

    fn devices(
        devices: &Devices,
        own: Option<DeviceNumber>,
        table: &Table,
        columns: &Columns,
        out: &mut Sample,
    ) {
        let width = catalogue::get().columns(Dimension::Device).len();
        let to = out.table_mut(Dimension::Device);
        to.absence = table.absence();
        let mut own_shown = false;
        for row in table.iter() {
            let Some(number) = device_number(&row.key) else { continue };
            own_shown |= own == Some(number);
            devices.counts(number);
            let mut cells = vec![Reading::Absent(Absence::NoKey); width];
            for (from, to) in columns {
                // A device that has a line has counted: what the line does not mention did not happen.
                cells[*to] = match row.cells[*from] {
                    Slot::Absent(Absence::NoKey) => Reading::int(0),
                    slot => Reading::from_slot(slot, metric_schema::Unit::Bytes),
                };
            }
            to.entries.push(Entry { labels: devices.labels(number), cells });
        }
        // Sinks write as many as a row's attributes allow.
        if to.entries.len() > ENTRIES_MAX {
            to.absence = Some(Absence::TooMany);
        }
        // That v1 has no line at all may mean that it does not count, or that nothing was done yet.
        if own_shown || !matches!(to.absence, None | Some(Absence::NotCounted)) {
            return;
        }
        match own {
            // The disk under the writable layer did nothing yet, where the kernel is known to count on it.
            Some(number) if devices.is_counted(number) => {
                let mut cells = vec![Reading::Absent(Absence::NoKey); width];
                columns.iter().for_each(|(_, to)| cells[*to] = Reading::int(0));
                to.entries.push(Entry { labels: devices.labels(number), cells });
                to.absence = None;
            }
            Some(_) => to.absence = Some(Absence::NotCounted),
            // No line, and no disk to write a zero for.
            None if to.entries.is_empty() => {
                to.absence =
                    Some(if devices.counts_everywhere { Absence::NoKey } else { Absence::NotCounted });
            }
            None => {}
        }
    }

    fn interfaces(names: &Names, table: &Table, columns: &Columns, out: &mut Sample) {
        let width = catalogue::get().columns(Dimension::Interface).len();
        let to = out.table_mut(Dimension::Interface);
        to.absence = table.absence();
        for row in table.iter().filter(|row| row.key != "lo") {
            let mut cells = vec![Reading::Absent(Absence::NoKey); width];
            for (from, to) in columns {
                cells[*to] = Reading::from_slot(row.cells[*from], metric_schema::Unit::Bytes);
            }
            to.entries.push(Entry { labels: names.labels(&row.key), cells });
        }
        bound(to);
        if to.entries.is_empty() && to.absence.is_none() {
            to.absence = Some(Absence::NoNetwork);
        }
    }
}

/// Fills a table as it was read: what a line does not mention is absent. Keys without labels are left out.
fn entries(
    dimension: Dimension,
    table: &Table,
    columns: &Columns,
    out: &mut Sample,
    labels: impl Fn(&str) -> Option<Arc<[Arc<str>]>>,
) {
    let rows = catalogue::get().columns(dimension);
    let to = out.table_mut(dimension);
    to.absence = table.absence();
    for row in table.iter() {
        let Some(labels) = labels(&row.key) else { continue };
        let mut cells = vec![Reading::Absent(Absence::NotCollected); rows.len()];
        for (from, to) in columns {
            let unit = catalogue::get().row(rows[*to]).def.unit;
            cells[*to] = Reading::from_slot(row.cells[*from], unit);
        }
        to.entries.push(Entry { labels, cells });
        if to.entries.len() > ENTRIES_MAX {
            break;
        }
    }
    bound(to);
    if to.entries.is_empty() {
        to.absence.get_or_insert(Absence::NoKey);
    }
}

/// Entries of one table of one container at most, as the catalogue's attributes have it.
const ENTRIES_MAX: usize = 64;

/// Drops the entries past the bound, and says so.
fn bound(table: &mut crate::Table) {
    if table.entries.len() > ENTRIES_MAX {
        table.entries.truncate(ENTRIES_MAX);
        table.absence = Some(Absence::TooMany);
    }
}

impl Probe for KernelProbe {
    fn sample(&mut self, groups: Groups, out: &mut Sample) -> Result<(), Gone> {
        let plan = self.plan(groups);
        out.cgroup = Some(Arc::clone(&self.cgroup));
        if groups.has(Group::Network) || groups.has(Group::NetworkDetail) {
            self.settle_network();
        }
        let shared = Arc::clone(&self.shared);
        let disk =
            if groups.has(Group::Io) { self.layer.disk(&shared.host, &shared.file_systems) } else { None };
        let read = ROOM.with_borrow_mut(|(slots, tables)| {
            plan.room(slots, tables);
            let read = self.handle.read(&plan.plan, slots, tables);
            plan.fill(slots, out);
            for (table, (dimension, columns)) in tables.iter().zip(&plan.tables) {
                match dimension {
                    Dimension::Device => Self::devices(&shared.devices, disk, table, columns, out),
                    Dimension::Interface => Self::interfaces(&shared.names, table, columns, out),
                    Dimension::DeviceDetail => entries(*dimension, table, columns, out, |key| {
                        Some(shared.devices.labels(device_number(key)?))
                    }),
                    _ => entries(*dimension, table, columns, out, |key| Some(shared.names.labels(key))),
                }
            }
            read
        });
        self.limits(groups, out);
        if groups.has(Group::Filesystem) {
            self.layer.fill(&shared.host, &shared.file_systems, &shared.walker, out);
        }
        if groups.has(Group::Processes) {
            let (directories, init) = (self.handle.directories(), self.handle.process());
            processes::fill(&shared.host, directories, init, &shared.allowance, &mut self.schedstat, out);
        }
        if groups.has(Group::FilesystemDetail) {
            self.mounts.fill(&shared.host, &shared.file_systems.places, &shared.walker, out);
        }
        if groups.has(Group::NetworkDetail) {
            sockets::fill(&shared.host, self.handle.process(), self.network_absence, &shared.allowance, out);
        }
        if groups.has(Group::Gpu) {
            shared.accelerators.fill(self.own.as_ref(), out);
        }
        read.map_err(|_| Gone)
    }

    fn count(&mut self, out: &mut Sample) -> Result<(), Gone> {
        out.cgroup = Some(Arc::clone(&self.cgroup));
        let plan = Arc::clone(&self.shared.plans.counted);
        ROOM.with_borrow_mut(|(slots, tables)| {
            plan.room(slots, tables);
            let read = self.handle.read(&plan.plan, slots, tables);
            plan.fill(slots, out);
            read.map_err(|_| Gone)
        })
    }

    fn sees_exit(&self) -> bool {
        self.watch != Watch::Unseen
    }

    fn has_ended(&self) -> bool {
        self.watch == Watch::Ended
    }

    fn oom_kills_around(&self) -> Option<u64> {
        if self.shared.host.version() != Version::V2 {
            return None;
        }
        let parent = self.handle.directories().path(Controller::Memory)?.parent()?.join("memory.events");
        let text = read_text(&parent)?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
    }
}

impl Drop for KernelProbe {
    fn drop(&mut self) {
        self.shared.exit.unwatch(self.token);
        self.shared.signals.forget(self.token);
        self.shared.namespaces.leave(self.token, self.network);
        self.shared.walker.remove(self.token);
    }
}

/// Major and minor number of a block device.
pub(super) type DeviceNumber = (u32, u32);

fn device_number(key: &str) -> Option<DeviceNumber> {
    let (major, minor) = key.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Labels of tables whose only one is the key: interfaces have the same few names in all containers.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashMap<String, Arc<[Arc<str>]>>>);

/// Names remembered at most: beyond that all are forgotten.
const NAMES_MAX: usize = 1024;

impl Names {
    fn labels(&self, name: &str) -> Arc<[Arc<str>]> {
        let mut known = lock(&self.0);
        if let Some(labels) = known.get(name) {
            return Arc::clone(labels);
        }
        if known.len() >= NAMES_MAX {
            known.clear();
        }
        let labels: Arc<[Arc<str>]> = Arc::new([name.into()]);
        known.insert(name.to_owned(), Arc::clone(&labels));
        labels
    }
}

/// Names of block devices, and those on which the kernel counts by cgroup.
pub(super) struct Devices {
    host: Host,
    /// cgroup v2 counts on every disk; v1 only where a throttle rule has been set since boot.
    counts_everywhere: bool,
    labels: Mutex<HashMap<DeviceNumber, Arc<[Arc<str>]>>>,
    counted: Mutex<BTreeSet<DeviceNumber>>,
    /// When the root cgroup was read last.
    root_read: Mutex<Option<Instant>>,
}

/// The root cgroup is read once for all containers, and only to learn whether a disk counts by now: its file costs more than
/// all of one container's.
const ROOT_FRESH: Duration = Duration::from_secs(10);

/// Devices remembered at most: beyond that all are forgotten.
const DEVICES_MAX: usize = 4096;

impl Devices {
    pub(super) fn new(host: &Host) -> Self {
        Self {
            host: host.clone(),
            counts_everywhere: host.version() == Version::V2,
            labels: Mutex::default(),
            counted: Mutex::default(),
            root_read: Mutex::default(),
        }
    }

    /// A cgroup has a line for the device.
    fn counts(&self, number: DeviceNumber) {
        let mut counted = lock(&self.counted);
        if counted.len() < DEVICES_MAX {
            counted.insert(number);
        }
    }

    fn is_counted(&self, number: DeviceNumber) -> bool {
        let has = || lock(&self.counted).contains(&number);
        if self.counts_everywhere || has() {
            return true;
        }
        self.read_root();
        has()
    }

    /// Takes in the devices of the root cgroup, which includes all others, unless that was done just now.
    fn read_root(&self) {
        let mut read = lock(&self.root_read);
        if read.is_some_and(|at| at.elapsed() < ROOT_FRESH) {
            return;
        }
        let file = |mount: &Path| mount.join("blkio.throttle.io_service_bytes_recursive");
        let bytes = self.host.mount(Controller::Blkio).map(file).and_then(|file| read_file(&file).ok());
        parse::nested(&bytes.unwrap_or_default(), |device, _, _| {
            if let Some(number) = std::str::from_utf8(device).ok().and_then(device_number) {
                self.counts(number);
            }
        });
        *read = Some(Instant::now());
    }

    /// `/dev/<name>`, or the numbers where there is no name; major; minor.
    fn labels(&self, number: DeviceNumber) -> Arc<[Arc<str>]> {
        let mut known = lock(&self.labels);
        if let Some(labels) = known.get(&number) {
            return Arc::clone(labels);
        }
        let (major, minor) = number;
        let name = self.host.device_name(major, minor);
        let name = name.map_or_else(|| format!("{major}:{minor}"), |name| format!("/dev/{name}"));
        let labels: Arc<[Arc<str>]> =
            Arc::new([name.into(), major.to_string().into(), minor.to_string().into()]);
        if known.len() >= DEVICES_MAX {
            known.clear();
        }
        known.insert(number, Arc::clone(&labels));
        labels
    }
}
