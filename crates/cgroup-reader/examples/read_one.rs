//! Prints some numbers of a cgroup: `cargo run -p cgroup-reader --example read_one -- [PID]` (by default this process's).
#![expect(clippy::print_stdout, reason = "it is what the example is for")]

use std::error::Error;

use cgroup_reader::{
    At, Controller, Directories, FdBudget, Field, Handle, Host, Plan, PsiLine, Roots, Scale, Slot, SourceKey,
    Table,
};

const CPU: SourceKey = SourceKey::both(
    At::whole(Controller::Cpuacct, "cpuacct.usage", Scale::NanosOne),
    At::key(Controller::Cpu, "cpu.stat", "usage_usec", Scale::MicrosToNanos),
);
const MEMORY: SourceKey = SourceKey::both(
    At::whole(Controller::Memory, "memory.usage_in_bytes", Scale::One),
    At::whole(Controller::Memory, "memory.current", Scale::One),
);
const LIMIT: SourceKey = SourceKey::both(
    At::whole(Controller::Memory, "memory.limit_in_bytes", Scale::One),
    At::whole(Controller::Memory, "memory.max", Scale::One),
);
const WAITING: SourceKey = SourceKey::same(At::psi("cpu.pressure", PsiLine::Some));
const RECEIVED: SourceKey = SourceKey::same(At::proc("net/dev", Field::Column("rx_bytes"), Scale::One));

const NAMES: [&str; 4] = ["cpu time, ns", "memory, bytes", "memory limit, bytes", "waited for a cpu, ns"];

fn main() -> Result<(), Box<dyn Error>> {
    let pid = std::env::args().nth(1).map_or(Ok(std::process::id()), |pid| pid.parse())?;
    let host = Host::detect(&Roots::default())?;
    let path = host.cgroup_path(pid)?;
    println!("cgroups: {}; container: {:?}", host.layout().as_str(), path.container().map(|found| found.id));

    let scalars: Vec<_> = [CPU, MEMORY, LIMIT, WAITING].into_iter().zip(0..).collect();
    let plan = Plan::compile(host.version(), &scalars, &[(0, &[(RECEIVED, 0)])]);
    let directories = host.directories(&path).unwrap_or_else(|| Directories::of(&host, &path));
    let mut handle = Handle::open(&host, &directories, Some(host.process(pid)?), &FdBudget::from_limit())?;

    let mut slots = vec![Slot::default(); plan.slots()];
    let mut tables = vec![Table::new(); plan.tables()];
    handle.read(&plan, &mut slots, &mut tables)?;
    for (name, slot) in NAMES.iter().zip(slots) {
        println!("{name}: {slot:?}");
    }
    for interface in &tables[0] {
        println!("{} received, bytes: {:?}", interface.key, interface.cells[0]);
    }
    Ok(())
}
