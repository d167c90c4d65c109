//! Two GPUs: processes of two containers on the first, below their own cgroups, too; of nobody on the second.

use std::{fs, sync::Arc};

use cgroup_reader::CgroupPath;
use collector_core::{Absence, Accelerator, AcceleratorProcess, AcceleratorUse, Accelerators, EngineTime};
use test_support::Tree;

use super::Process;

#[derive(Debug)]
pub(crate) struct Gpus(Arc<[Accelerator]>);

impl Accelerators for Gpus {
    fn look(&self) -> Result<Arc<[Accelerator]>, Absence> {
        Ok(Arc::clone(&self.0))
    }
}

impl Gpus {
    /// As the containers' processes of the tree, in the order of `NAMES`, would use them.
    pub(crate) fn of(tree: &Tree, processes: &[Process]) -> Self {
        let cgroups = |at: usize| {
            let file = format!("proc/{}/cgroup", processes[at].pid());
            fs::read_to_string(tree.path(&file)).expect("a process")
        };
        let process = |cgroups: &str, memory, general| AcceleratorProcess {
            cgroups: CgroupPath::parse(cgroups.as_bytes()),
            memory,
            time: Ok(EngineTime { general, encoder: 1, decoder: 2 }),
        };
        let (web, side) = (cgroups(0), cgroups(1));
        let below = web.replace('\n', "/below\n");
        let first = vec![
            process(&web, Ok(1000), 10),
            process(&below, Ok(100), 5),
            process(&side, Err(Absence::NotSupported), 7),
            process("0::/user.slice\n", Ok(10), 50),
        ];
        let gpu = |id: &str, used| Accelerator { id: id.into(), model: "Model".into(), make: "nvidia", used };
        Self(Arc::new([
            gpu(
                "GPU-1",
                Ok(AcceleratorUse {
                    memory_total: Ok(4000),
                    memory_used: Ok(2000),
                    busy: Ok(72),
                    processes: Ok(first),
                }),
            ),
            gpu(
                "GPU-2",
                Ok(AcceleratorUse {
                    memory_total: Ok(500),
                    memory_used: Ok(0),
                    busy: Err(Absence::NotSupported),
                    processes: Ok(vec![process("0::/user.slice\n", Ok(10), 50)]),
                }),
            ),
        ]))
    }
}
