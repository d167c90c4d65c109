//! Every number of five whole machines, as checked-in text: each change of a metric shows in review.
//!
//! `UPDATE_GOLDEN=1 cargo test -p collector-core --features kernel --test kernel_golden` writes the files anew.
#![cfg(all(feature = "kernel", target_os = "linux"))]

mod kernel_support;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
};

use collector_core::{
    Group, Groups,
    catalogue::{self, Dimension, Entity, Source},
};
use kernel_support::{HOSTS, Machine, dump, fixture};

#[tokio::test]
async fn every_number_of_every_host() {
    for host in HOSTS {
        let machine = Machine::start(host).await;
        let text = dump::text(&*machine.settled().await);
        let path = fixture(&format!("{host}.golden"));
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &text).expect("a golden file");
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        let (new, old): (BTreeSet<&str>, BTreeSet<&str>) = (text.lines().collect(), golden.lines().collect());
        let missing: Vec<_> = old.difference(&new).collect();
        let added: Vec<_> = new.difference(&old).collect();
        assert!(
            text == golden,
            "{host}: no longer there: {missing:#?}, new: {added:#?}; run it with UPDATE_GOLDEN=1 and review the difference"
        );
    }
}

/// The names in the golden files of hosts whose name begins so; of containers only.
fn families(prefix: &str) -> BTreeSet<String> {
    let hosts = HOSTS.iter().filter(|host| host.starts_with(prefix));
    let text: String = hosts
        .map(|host| fs::read_to_string(fixture(&format!("{host}.golden"))).expect("a golden file"))
        .collect();
    let of_containers =
        text.lines().filter(|line| line.contains("{container=") && !line.contains("{container=\"/\""));
    of_containers.filter_map(|line| Some(line.split_once('{')?.0.to_owned())).collect()
}

/// Why a tree alone does not have it.
const TOLD: &str =
    "what is mounted, and where the log is, is told by an inspect: the unit tests of kernel::mounts";

/// Rows that no golden tree has a number for, and why.
const UNREACHED: &[(&str, &str)] = &[
    ("container_log_size_bytes", TOLD),
    ("container_mount_usage_bytes", TOLD),
    ("container_mount_limit_bytes", TOLD),
    ("container_mount_available_bytes", TOLD),
    ("container_mount_inodes_free", TOLD),
    ("container_mount_inodes", TOLD),
    ("container_mount_age_seconds", TOLD),
];

#[test]
fn every_row_is_reached() {
    let mut reached = families("");
    for host in HOSTS {
        let text = fs::read_to_string(fixture(&format!("{host}.golden"))).expect("a golden file");
        reached.extend(text.lines().filter_map(|line| Some(line.split(['{', ' ']).next()?.to_owned())));
    }
    let listed: BTreeMap<&str, &str> = UNREACHED.iter().copied().collect();
    for (_, row) in catalogue::get().iter().filter(|(_, row)| !row.hidden && row.entity != Entity::Exporter) {
        let from_kernel = row.source.is_sampled() || matches!(row.source, Source::Derived(_));
        let name = dump::name(row);
        if from_kernel {
            assert_ne!(
                reached.contains(&name),
                listed.contains_key(&*name),
                "{name}: reached, or listed with a reason"
            );
        }
    }
}

/// Names that only one version has, and why.
const ONE_VERSION: &[(&str, &str, &str)] = &[
    ("v2", "container_cpu_weight", "v1 has shares"),
    ("v2", "container_cpu_nice_seconds_total", "v1 does not tell it apart"),
    ("v2", "container_cpu_force_idle_seconds_total", "v1 does not tell it"),
    ("v2", "container_fs_io_cost_usage_seconds_total", "v1 has no io.cost"),
    ("v2", "container_fs_io_cost_wait_seconds_total", "v1 has no io.cost"),
    ("v2", "container_fs_io_cost_indebt_seconds_total", "v1 has no io.cost"),
    ("v2", "container_fs_io_cost_indelay_seconds_total", "v1 has no io.cost"),
    ("v2", "container_dmem_usage_bytes", "v1 has no such controller"),
    ("v2", "container_dmem_limit_bytes", "v1 has no such controller"),
    ("v2", "container_dmem_min_bytes", "v1 has no such controller"),
    ("v2", "container_dmem_low_bytes", "v1 has no such controller"),
    ("v1", "container_hugetlb_max_usage_bytes", "v2 keeps no peak"),
    ("v1", "container_memory_numa_pages", "cAdvisor's name, which it has on v1 only"),
    ("v2", "container_memory_events_low_total", "v1 keeps no such count"),
    ("v2", "container_memory_events_high_total", "v1 has no high boundary"),
    ("v2", "container_memory_events_oom_total", "v1 counts kills only"),
    ("v2", "container_memory_events_oom_group_kill_total", "v1 kills single processes"),
    ("v2", "container_memory_pgscan_total", "v1 counts for the machine only"),
    ("v2", "container_memory_pgsteal_total", "v1 counts for the machine only"),
    ("v2", "container_memory_file_thp_bytes", "v1 counts anonymous ones only"),
    ("v2", "container_memory_shmem_thp_bytes", "v1 counts anonymous ones only"),
    ("v2", "container_memory_slab_reclaimable_bytes", "v1 tells the sum of kernel memory only"),
    ("v2", "container_memory_slab_unreclaimable_bytes", "v1 tells the sum of kernel memory only"),
    ("v2", "container_memory_kernel_stack_bytes", "v1 tells the sum of kernel memory only"),
    ("v2", "container_memory_pagetables_bytes", "v1 tells the sum of kernel memory only"),
    ("v2", "container_memory_secondary_pagetables_bytes", "v1 tells the sum of kernel memory only"),
    ("v2", "container_memory_percpu_bytes", "v1 tells the sum of kernel memory only"),
    ("v2", "container_memory_vmalloc_bytes", "v1 tells the sum of kernel memory only"),
    ("v2", "container_memory_zswap_bytes", "v1 does not tell compressed swap"),
    ("v2", "container_memory_zswapped_bytes", "v1 does not tell compressed swap"),
    ("v2", "container_memory_min_bytes", "v1 has no such boundary"),
    ("v2", "container_memory_low_bytes", "v1 has no such boundary"),
    ("v2", "container_memory_high_bytes", "v1 has no such boundary"),
    ("v2", "container_memory_swap_peak_bytes", "v1 keeps the peak of memory and swap together only"),
    ("v2", "container_memory_swap_limit_bytes", "v1 limits memory and swap together only"),
    ("v2", "container_memory_swap_events_high_total", "v1 keeps no such count"),
    ("v2", "container_memory_swap_events_max_total", "v1 keeps no such count"),
    ("v2", "container_memory_swap_events_fail_total", "v1 keeps no such count"),
    ("v2", "container_memory_events_local_low_total", "v1 keeps no such count"),
    ("v2", "container_memory_events_local_high_total", "v1 keeps no such count"),
    ("v2", "container_memory_events_local_max_total", "v1 keeps no such count"),
    ("v2", "container_memory_events_local_oom_total", "v1 keeps no such count"),
    ("v2", "container_memory_events_local_oom_kill_total", "v1 keeps no such count"),
    ("v2", "container_memory_events_local_oom_group_kill_total", "v1 keeps no such count"),
];

#[test]
fn versions_agree_on_the_names() {
    let mut v1 = families("v1");
    v1.extend(families("hybrid"));
    let v2 = families("v2");
    let one: BTreeSet<(&str, &str)> =
        ONE_VERSION.iter().map(|(version, name, _)| (*version, *name)).collect();
    let found: BTreeSet<(&str, &str)> = v1
        .difference(&v2)
        .map(|name| ("v1", name.as_str()))
        .chain(v2.difference(&v1).map(|name| ("v2", name.as_str())))
        .collect();
    assert_eq!(found, one);
}

/// The host's GPUs belong to that group, and not to the host's other numbers.
#[tokio::test]
async fn the_hosts_gpus_come_with_their_group() {
    let machine = Machine::start("v2-6.12").await;
    let machine = &machine;
    let gpus = |groups| async move { machine.collect(groups).await.host.table(Dimension::Gpu).entries.len() };
    assert_eq!(gpus(Groups::NONE.with(Group::Gpu)).await, 2);
    assert_eq!(gpus(Groups::standard()).await, 0);
}
