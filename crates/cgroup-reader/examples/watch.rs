//! Follows the containers of this machine, and reads each once more at its end: `cargo run -p cgroup-reader --example watch --
//! [CONTAINERS]` ends after so many ends (by default never).
#![expect(clippy::print_stdout, reason = "it is what the example is for")]

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::sync::{Arc, mpsc};
use std::thread;

use cgroup_reader::{
    At, CgroupPath, Controller, Directories, ExitSignal, ExitWatch, FdBudget, Found, Handle, Host, Layout,
    Plan, Roots, Scale, Slot, SourceKey, TreeEvent, TreeWatch, scan,
};

const CPU: SourceKey = SourceKey::both(
    At::whole(Controller::Cpuacct, "cpuacct.usage", Scale::NanosOne),
    At::key(Controller::Cpu, "cpu.stat", "usage_usec", Scale::MicrosToNanos),
);
const KILLS: SourceKey = SourceKey::both(
    At::key(Controller::Memory, "memory.oom_control", "oom_kill", Scale::One),
    At::key(Controller::Memory, "memory.events", "oom_kill", Scale::One),
);

enum Event {
    Tree(TreeEvent),
    Exit(u64, ExitSignal),
}

fn main() -> Result<(), Box<dyn Error>> {
    let ends_wanted = std::env::args().nth(1).map_or(Ok(usize::MAX), |count| count.parse())?;
    let host = Host::detect(&Roots::default())?;
    let budget = FdBudget::from_limit();
    let plan = Plan::compile(host.version(), &[(CPU, 0), (KILLS, 1)], &[]);
    let (sender, events) = mpsc::channel();
    let exits = {
        let sender = sender.clone();
        ExitWatch::start(&host, &budget, move |token, signal| drop(sender.send(Event::Exit(token, signal))))?
    };
    let tree = TreeWatch::start(&host, &budget, move |event| drop(sender.send(Event::Tree(event))))?;

    let mut handles: HashMap<u64, (Found, Handle)> = HashMap::new();
    let mut appeared: Vec<Found> = scan(&host);
    let mut ends = 0;
    let mut next_token = 0;
    while ends < ends_wanted {
        for found in appeared.drain(..) {
            tree.add_parents(&found);
            if let Some(handle) = follow(&host, &found, next_token, &exits, &budget) {
                println!("{} ({}) runs", found.id, found.runtime);
                handles.insert(next_token, (found, handle));
                next_token += 1;
            }
        }
        match events.recv()? {
            Event::Tree(TreeEvent::Created { found: Some(found), .. }) => appeared.push(found),
            Event::Tree(_) => {}
            Event::Exit(token, signal) => {
                let Some((found, handle)) = handles.get_mut(&token) else { continue };
                let mut slots = [Slot::default(); 2];
                let result = handle.read(&plan, &mut slots, &mut []);
                println!("{} {signal:?}: {result:?}, cpu ns and kills: {slots:?}", found.id);
                if signal == ExitSignal::Exited {
                    handles.remove(&token);
                    exits.unwatch(token);
                    ends += 1;
                }
            }
        }
    }
    Ok(())
}

/// Opens the container's cgroup and watches its end.
///
/// Without an engine nobody says which process is the container's: the first in a new cgroup are the runtime's own. So wait
/// for any, and then for the cgroup to be empty, which v1 alone does not announce.
fn follow(
    host: &Host,
    found: &Found,
    token: u64,
    exits: &ExitWatch,
    budget: &Arc<FdBudget>,
) -> Option<Handle> {
    let directories = Directories::of(host, &CgroupPath::everywhere(&found.path));
    let handle = Handle::open(host, &directories, None, budget).ok()?;
    let procs = directories
        .path(Controller::Core)
        .or_else(|| directories.path(Controller::Memory))?
        .join("cgroup.procs");
    let first = loop {
        // The hierarchies get their directories one after the other.
        let text = fs::read_to_string(&procs).unwrap_or_default();
        match text.lines().next() {
            Some(pid) => break pid.parse().ok()?,
            // A cgroup that is removed before it had a process ends the wait.
            None if !directories.exist() => return None,
            None => thread::yield_now(),
        }
    };
    let process = if host.layout() == Layout::V1 { host.process(first).ok() } else { None };
    exits.watch(token, process, &directories).ok()?;
    Some(handle)
}
