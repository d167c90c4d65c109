//! Prints the containers of this host, without asking any engine.

use std::error::Error;
use std::io::Write;

use cgroup_reader::Roots;
use source_cgroup::{Options, ScanInventory};

fn main() -> Result<(), Box<dyn Error>> {
    let containers = ScanInventory::new(Roots::default(), Options::default()).containers()?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:12}  {:>8}  {:>10}  CGROUP", "CONTAINER", "PID", "AGE (s)")?;
    for container in &containers {
        let pid = container.pid.map_or("-".to_owned(), |pid| pid.to_string());
        let age = container.started_at.and_then(|at| at.elapsed().ok());
        let age = age.map_or("-".to_owned(), |age| age.as_secs().to_string());
        let cgroup = container.cgroup.as_deref().unwrap_or("-");
        writeln!(out, "{:12}  {pid:>8}  {age:>10}  {cgroup}", container.id.short())?;
    }
    writeln!(out, "{} running", containers.len())?;
    Ok(())
}
