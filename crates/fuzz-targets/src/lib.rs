//! One function per parser of bytes that others write: the kernel's files, the engines' answers, a scraper's request.
//!
//! A target takes any bytes and panics where a promise is broken; not to panic is the least of them: what was parsed is
//! written again and parsed as the same, or found in a slower, simpler way. [`TARGETS`] is the list that everything
//! else follows: the test over the corpora in `fuzz/corpus/<name>/` (stable, part of every test run), the libFuzzer
//! binaries in `fuzz/`, and `cargo xtask fuzz`.
//!
//! Parsers that are private to a crate have their targets in that crate's module `fuzzing`.
//!
//! ```
//! let target = fuzz_targets::find("cpu_list").unwrap();
//! (target.run)(b"0-3,5\n");
//! ```

mod kernel;
mod network;
mod page;
// The judge of the pages in exposition's own tests; it shares nothing with that crate.
#[path = "../../exposition/tests/pages/parse/mod.rs"]
#[expect(dead_code, reason = "those tests ask for more")]
mod parse;
mod paths;

/// A parser under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, that of its corpus' directory and of its binary.
    pub name: &'static str,
    /// Feeds it; panics where a promise is broken.
    pub run: fn(&[u8]),
}

/// Every target, sorted by name.
pub const TARGETS: &[Target] = &[
    Target { name: "accept", run: page::accept },
    Target { name: "cgroup_path", run: paths::cgroup_path },
    Target { name: "cpu_list", run: kernel::cpu_list },
    Target { name: "diskstats", run: kernel::diskstats },
    Target { name: "engine_about", run: source_docker::fuzzing::about },
    Target { name: "engine_address", run: source_docker::fuzzing::address },
    Target { name: "engine_event", run: source_docker::fuzzing::event },
    Target { name: "engine_fields", run: source_docker::fuzzing::fields },
    Target { name: "engine_inspect", run: source_docker::fuzzing::inspect },
    Target { name: "engine_list", run: source_docker::fuzzing::list },
    Target { name: "engine_pods", run: source_docker::fuzzing::pods },
    Target { name: "engine_stats", run: source_docker::fuzzing::stats },
    Target { name: "engine_stream", run: source_docker::fuzzing::stream },
    Target { name: "engine_times", run: source_docker::fuzzing::times },
    Target { name: "flat", run: kernel::flat },
    Target { name: "include", run: source_cgroup::fuzzing::include },
    Target { name: "labels", run: page::labels },
    Target { name: "machine", run: collector_core::fuzzing::machine },
    Target { name: "mountinfo", run: paths::mountinfo },
    Target { name: "nested", run: kernel::nested },
    Target { name: "net_counts", run: network::counts },
    Target { name: "net_dev", run: kernel::net_dev },
    Target { name: "net_sockets", run: network::sockets },
    Target { name: "numa_stat", run: kernel::numa_stat },
    Target { name: "otlp_answer", run: otlp_client::fuzzing::answer },
    Target { name: "otlp_endpoint", run: otlp_client::fuzzing::endpoint },
    Target { name: "otlp_headers", run: otlp_client::fuzzing::headers },
    Target { name: "page_query", run: page::query },
    Target { name: "pairs", run: kernel::pairs },
    Target { name: "podman_store", run: source_docker::fuzzing::store },
    Target { name: "pressure", run: kernel::pressure },
    Target { name: "proc_cgroup", run: paths::proc_cgroup },
    Target { name: "proc_limits", run: kernel::proc_limits },
    Target { name: "proc_stat", run: kernel::proc_stat },
    Target { name: "process", run: runtime_metrics::fuzzing::process },
    Target { name: "query", run: exporter_toolkit::fuzzing::query },
    Target { name: "single", run: kernel::single },
];

/// The target of that name.
#[must_use]
pub fn find(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}
