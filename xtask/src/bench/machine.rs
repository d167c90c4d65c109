//! The machine, named as a reader of figures needs it.

use std::fs;

use crate::process::{self, When};

/// One sentence: processor, cores, memory, kernel, cgroups, compiler.
pub(crate) fn describe() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = field(&cpuinfo, "model name").unwrap_or("unknown processor");
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: f64 = field(&meminfo, "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0);
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let version = |program: &str| {
        process::capture(&mut process::command(program, &["--version"]), When::Working)
            .map_or_else(|_| format!("{program} unknown"), |finished| finished.text().trim().to_owned())
    };
    let layout = if fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap_or(false) { "v2" } else { "v1" };
    format!(
        "{model}, {cores} cores, {:.0} GiB, Linux {kernel}, cgroup {layout}, {}",
        kib / 1024.0 / 1024.0,
        version("rustc")
    )
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    line.map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_files() {
        assert_eq!(field("model\t\t: 7\nmodel name\t: Some CPU\n", "model name"), Some("Some CPU"));
        assert_eq!(field("MemTotal:  12 kB\n", "MemTotal"), Some("12 kB"));
        assert_eq!(field("MemTotal:  12 kB\n", "Swap"), None);
    }
}
