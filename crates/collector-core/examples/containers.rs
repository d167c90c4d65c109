//! CPU time and memory of each container of this machine, found by scanning its cgroups: no engine is asked.
//!
//! `cargo run -p collector-core --features kernel --example containers`

#![expect(clippy::print_stdout, reason = "printing is what an example is for")]

use std::sync::Arc;

use collector_core::{
    Absence, Container, ContainerId, Engine, Group, Groups, KernelOptions, KernelSampler, Reading, Sample,
    Sampler, State, catalogue::ids,
};

fn main() -> Result<(), collector_core::KernelError> {
    let sampler = KernelSampler::start(&KernelOptions::default())?;
    let groups = Groups::NONE.with(Group::Cpu).with(Group::Memory);
    println!("{:14} {:>12} {:>14} {:>14}", "CONTAINER", "CPU SECONDS", "WORKING SET", "LIMIT");
    for found in cgroup_reader::scan(sampler.host()) {
        let mut container = Container::new(ContainerId::new(&found.id), Engine::Kernel, State::Running);
        container.cgroup = Some(found.path.as_str().into());
        let mut sample = Sample::absent(Absence::NotCollected);
        let read = match sampler.open(&container, Arc::new(|_| {})) {
            Ok(mut probe) => probe.sample(groups, &mut sample).map_err(|_| Absence::NotRunning),
            Err(reason) => Err(reason),
        };
        let id = container.id.short();
        match read {
            Ok(()) => {
                let cpu = show(sample.get(ids::CPU_USAGE));
                let inactive = sample.get(ids::MEMORY_INACTIVE_FILE).as_u64();
                let usage = sample.get(ids::MEMORY_USAGE).as_u64();
                let working_set =
                    usage.zip(inactive).map_or(sample.get(ids::MEMORY_USAGE), |(usage, inactive)| {
                        Reading::int(collector_core::effective::working_set(usage, inactive))
                    });
                let limit = show(sample.get(ids::MEMORY_LIMIT));
                println!("{id:14} {cpu:>12} {:>14} {limit:>14}", show(working_set));
            }
            Err(reason) => println!("{id:14} {reason}"),
        }
    }
    Ok(())
}

fn show(reading: Reading) -> String {
    match reading {
        Reading::Value(value) => value.as_f64().to_string(),
        Reading::Max => "max".to_owned(),
        Reading::Absent(reason) => format!("({reason})"),
    }
}
