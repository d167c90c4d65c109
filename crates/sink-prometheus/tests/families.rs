//! cAdvisor's families against the catalogue and against what `docs/migrating/cadvisor.md` promises.

use std::collections::BTreeSet;

use collector_core::catalogue;

/// What cAdvisor 0.60 exports about containers and the machine on Docker without flags, by its code.
const BY_DEFAULT: &[&str] = &[
    "cadvisor_version_info",
    "container_blkio_device_usage_total",
    "container_cpu_cfs_burst_periods_total",
    "container_cpu_cfs_burst_seconds_total",
    "container_cpu_cfs_periods_total",
    "container_cpu_cfs_throttled_periods_total",
    "container_cpu_cfs_throttled_seconds_total",
    "container_cpu_load_average_10s",
    "container_cpu_load_d_average_10s",
    "container_cpu_system_seconds_total",
    "container_cpu_usage_seconds_total",
    "container_cpu_user_seconds_total",
    "container_creation_time_seconds",
    "container_fs_inodes_free",
    "container_fs_inodes_total",
    "container_fs_io_cost_indebt_seconds_total",
    "container_fs_io_cost_indelay_seconds_total",
    "container_fs_io_cost_usage_seconds_total",
    "container_fs_io_cost_wait_seconds_total",
    "container_fs_io_current",
    "container_fs_io_time_seconds_total",
    "container_fs_io_time_weighted_seconds_total",
    "container_fs_limit_bytes",
    "container_fs_read_seconds_total",
    "container_fs_reads_bytes_total",
    "container_fs_reads_merged_total",
    "container_fs_reads_total",
    "container_fs_sector_reads_total",
    "container_fs_sector_writes_total",
    "container_fs_usage_bytes",
    "container_fs_write_seconds_total",
    "container_fs_writes_bytes_total",
    "container_fs_writes_merged_total",
    "container_fs_writes_total",
    "container_health_state",
    "container_last_seen",
    "container_memory_cache",
    "container_memory_events_high_total",
    "container_memory_events_max_total",
    "container_memory_failcnt",
    "container_memory_failures_total",
    "container_memory_file_dirty_bytes",
    "container_memory_file_writeback_bytes",
    "container_memory_kernel_usage",
    "container_memory_mapped_file",
    "container_memory_max_usage_bytes",
    "container_memory_pgscan_total",
    "container_memory_pgsteal_total",
    "container_memory_rss",
    "container_memory_swap",
    "container_memory_total_active_file_bytes",
    "container_memory_total_inactive_file_bytes",
    "container_memory_usage_bytes",
    "container_memory_working_set_bytes",
    "container_memory_workingset_refault_anon_total",
    "container_memory_workingset_refault_file_total",
    "container_network_receive_bytes_total",
    "container_network_receive_errors_total",
    "container_network_receive_packets_dropped_total",
    "container_network_receive_packets_total",
    "container_network_transmit_bytes_total",
    "container_network_transmit_errors_total",
    "container_network_transmit_packets_dropped_total",
    "container_network_transmit_packets_total",
    "container_oom_events_total",
    "container_pressure_cpu_stalled_seconds_total",
    "container_pressure_cpu_waiting_seconds_total",
    "container_pressure_io_stalled_seconds_total",
    "container_pressure_io_waiting_seconds_total",
    "container_pressure_memory_stalled_seconds_total",
    "container_pressure_memory_waiting_seconds_total",
    "container_scrape_error",
    "container_spec_cpu_period",
    "container_spec_cpu_quota",
    "container_spec_cpu_shares",
    "container_spec_memory_limit_bytes",
    "container_spec_memory_reservation_limit_bytes",
    "container_spec_memory_swap_limit_bytes",
    "container_start_time_seconds",
    "container_tasks_state",
    "machine_cpu_books",
    "machine_cpu_cores",
    "machine_cpu_drawers",
    "machine_cpu_physical_cores",
    "machine_cpu_sockets",
    "machine_dimm_capacity_bytes",
    "machine_dimm_count",
    "machine_memory_bytes",
    "machine_nvm_avg_power_budget_watts",
    "machine_nvm_capacity",
    "machine_scrape_error",
    "machine_swap_bytes",
];

/// What cAdvisor 0.60 exports besides when every flag is set and every build option taken, by its code.
const SWITCHED_ON: &[&str] = &[
    "container_cpu_schedstat_run_periods_total",
    "container_cpu_schedstat_run_seconds_total",
    "container_cpu_schedstat_runqueue_seconds_total",
    "container_file_descriptors",
    "container_hugetlb_failcnt",
    "container_hugetlb_max_usage_bytes",
    "container_hugetlb_usage_bytes",
    "container_llc_occupancy_bytes",
    "container_memory_bandwidth_bytes",
    "container_memory_bandwidth_local_bytes",
    "container_memory_migrate",
    "container_memory_numa_pages",
    "container_network_advance_tcp_stats_total",
    "container_network_tcp6_usage_total",
    "container_network_tcp_usage_total",
    "container_network_udp6_usage_total",
    "container_network_udp_usage_total",
    "container_perf_events_scaling_ratio",
    "container_perf_events_total",
    "container_perf_uncore_events_scaling_ratio",
    "container_perf_uncore_events_total",
    "container_processes",
    "container_referenced_bytes",
    "container_sockets",
    "container_threads",
    "container_threads_max",
    "container_ulimits_soft",
    "machine_cpu_cache_capacity_bytes",
    "machine_node_distance",
    "machine_node_hugepages_count",
    "machine_node_memory_capacity_bytes",
    "machine_thread_siblings_count",
];

/// What Kubernetes expects of a container runtime that gives metrics itself, in the words of cri-tools (`pkg/validate/pod.go`).
const OF_A_RUNTIME: &[&str] = &[
    "container_blkio_device_usage_total",
    "container_cpu_cfs_periods_total",
    "container_cpu_cfs_throttled_periods_total",
    "container_cpu_cfs_throttled_seconds_total",
    "container_cpu_system_seconds_total",
    "container_cpu_usage_seconds_total",
    "container_cpu_user_seconds_total",
    "container_file_descriptors",
    "container_fs_inodes_free",
    "container_fs_inodes_total",
    "container_fs_limit_bytes",
    "container_fs_reads_bytes_total",
    "container_fs_reads_total",
    "container_fs_usage_bytes",
    "container_fs_writes_bytes_total",
    "container_fs_writes_total",
    "container_hugetlb_max_usage_bytes",
    "container_hugetlb_usage_bytes",
    "container_last_seen",
    "container_memory_cache",
    "container_memory_failcnt",
    "container_memory_failures_total",
    "container_memory_kernel_usage",
    "container_memory_mapped_file",
    "container_memory_max_usage_bytes",
    "container_memory_rss",
    "container_memory_swap",
    "container_memory_usage_bytes",
    "container_memory_working_set_bytes",
    "container_network_receive_bytes_total",
    "container_network_receive_errors_total",
    "container_network_receive_packets_dropped_total",
    "container_network_receive_packets_total",
    "container_network_transmit_bytes_total",
    "container_network_transmit_errors_total",
    "container_network_transmit_packets_dropped_total",
    "container_network_transmit_packets_total",
    "container_oom_events_total",
    "container_pressure_cpu_stalled_seconds_total",
    "container_pressure_cpu_waiting_seconds_total",
    "container_pressure_io_stalled_seconds_total",
    "container_pressure_io_waiting_seconds_total",
    "container_pressure_memory_stalled_seconds_total",
    "container_pressure_memory_waiting_seconds_total",
    "container_processes",
    "container_sockets",
    "container_spec_cpu_period",
    "container_spec_cpu_quota",
    "container_spec_cpu_shares",
    "container_spec_memory_limit_bytes",
    "container_spec_memory_reservation_limit_bytes",
    "container_spec_memory_swap_limit_bytes",
    "container_start_time_seconds",
    "container_threads",
    "container_threads_max",
    "container_ulimits_soft",
];

const DOCUMENT: &str = include_str!("../../../docs/migrating/cadvisor.md");

/// The names between backticks in the first column of the tables of one section.
fn first_column(section: &str) -> Vec<String> {
    let (_, text) = DOCUMENT.split_once(&format!("\n## {section}\n")).expect("the section");
    let text = text.split("\n## ").next().unwrap_or_default();
    let cells = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}

/// The names of the cadvisor profile, once each.
fn aliases() -> BTreeSet<String> {
    let shown = catalogue::get().iter().map(|(_, row)| row).filter(|row| !row.hidden);
    shown.filter_map(|row| Some(row.def.alias("cadvisor")?.name.to_owned())).collect()
}

#[test]
fn each_of_cadvisors_families_is_there_or_left_out_for_a_reason() {
    let there = first_column("Families that are there");
    let left_out = first_column("Left out");
    for name in BY_DEFAULT.iter().chain(SWITCHED_ON) {
        let told = there.iter().chain(&left_out).filter(|told| told == name).count();
        assert_eq!(told, 1, "{name} stands in the tables of docs/migrating/cadvisor.md so many times");
        assert_eq!(aliases().contains(*name), there.iter().any(|told| told == name), "{name}");
    }
    for name in &left_out {
        assert!(!aliases().contains(name), "{name} is not left out");
    }
}

#[test]
fn the_document_lists_what_the_catalogue_has() {
    let there = first_column("Families that are there");
    let told: BTreeSet<_> = there.iter().cloned().collect();
    assert_eq!(told.len(), there.len(), "a family is listed once");
    assert_eq!(told, aliases());
}

/// The label that dashboards select by.
#[test]
fn cpu_usage_is_the_total() {
    let row = catalogue::get().row(catalogue::ids::CPU_USAGE);
    assert_eq!(row.def.alias("cadvisor").map(|alias| alias.labels), Some(&[("cpu", "total")][..]));
}

/// Not by default, but for whoever asks: nothing that Kubernetes' own checks look for is left out.
#[test]
fn each_family_that_kubernetes_expects_of_a_runtime_is_there() {
    assert_eq!(OF_A_RUNTIME.len(), 56);
    let missing: Vec<_> = OF_A_RUNTIME.iter().filter(|name| !aliases().contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
