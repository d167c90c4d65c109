//! Limits and the formulas over memory.

use collector_core::effective::{
    CpuQuota, Limit, docker_cli_memory_bytes, effective_cpu_cores, effective_memory_bytes, effective_pids,
    percent_of_limit, v1_swap_bytes, v1_swap_limit_bytes, working_set,
};
use proptest::prelude::*;

use Limit::{Max, Value};

#[test]
fn the_smallest_memory_limit_binds() {
    let cases = [
        ("own", Value(64), vec![Value(100), Max], Some(1_000), Value(64)),
        ("parent", Value(64), vec![Max, Value(32)], Some(1_000), Value(32)),
        ("grandparent", Max, vec![Value(50), Value(40)], Some(1_000), Value(40)),
        ("host", Max, vec![Max], Some(1_000), Value(1_000)),
        ("host, below a generous limit", Value(5_000), vec![], Some(1_000), Value(1_000)),
        ("none known", Max, vec![Max], None, Max),
        ("a limit of 0 is a limit", Value(0), vec![Value(9)], Some(1_000), Value(0)),
    ];
    for (case, own, ancestors, host, expected) in cases {
        assert_eq!(effective_memory_bytes(own, ancestors.clone(), host), expected, "{case}");
        assert_eq!(effective_pids(own, ancestors, host), expected, "{case}");
    }
}

#[test]
fn the_smallest_cpu_limit_binds() {
    let none = CpuQuota::new(Max, 100_000);
    let quota = |cores: f64| CpuQuota::new(Value((cores * 100_000.0) as u64), 100_000);
    let cases = [
        ("own", quota(0.5), vec![quota(2.0)], Some(3), Some(4), Value(0.5)),
        ("ancestor", quota(2.5), vec![none, quota(1.5)], Some(3), Some(4), Value(1.5)),
        ("cpuset", none, vec![none], Some(3), Some(4), Value(3.0)),
        ("host", none, vec![], None, Some(4), Value(4.0)),
        ("host, below a generous quota", quota(8.0), vec![], None, Some(4), Value(4.0)),
        ("none known", none, vec![none], None, None, Max),
        ("counts of 0 are unknown", none, vec![], Some(0), Some(0), Max),
        ("a period of 0 limits nothing", CpuQuota::new(Value(5), 0), vec![], None, None, Max),
        ("another period", CpuQuota::new(Value(25_000), 50_000), vec![], None, Some(2), Value(0.5)),
    ];
    for (case, own, ancestors, cpuset, host, expected) in cases {
        let ancestors = ancestors.into_iter().map(CpuQuota::cores);
        assert_eq!(effective_cpu_cores(own.cores(), ancestors, cpuset, host), expected, "{case}");
    }
}

#[test]
fn sentinels_of_v1_end_here() {
    assert_eq!(CpuQuota::from_v1(-1, 100_000).cores(), Max);
    assert_eq!(CpuQuota::from_v1(i64::MIN, 100_000).cores(), Max);
    assert_eq!(CpuQuota::from_v1(50_000, 100_000).cores(), Value(0.5));
    for page in [4_096_u64, 16_384, 65_536] {
        assert_eq!(Limit::from_v1_memory_bytes(i64::MAX as u64 / page * page), Max, "pages of {page}");
    }
    assert_eq!(Limit::from_v1_memory_bytes(9_223_372_036_854_771_712), Max);
    assert_eq!(Limit::from_v1_memory_bytes(u64::MAX), Max);
    assert_eq!(Limit::from_v1_memory_bytes(67_108_864), Value(67_108_864));
    assert_eq!(Limit::from_v1_memory_bytes(1 << 62), Value(1 << 62));
}

#[test]
fn a_limit_is_a_number_or_none() {
    assert_eq!(Value(3).value(), Some(3));
    assert_eq!(Max::<u64>.value(), None);
    assert!(Max::<u64>.is_max() && !Value(0).is_max());
    assert_eq!(Limit::from(Some(3)), Value(3));
    assert_eq!(Limit::from(None::<u64>), Max);
    assert_eq!(Value(3).map(|n| n * 2), Value(6));
    assert_eq!(Value(2.0).smallest(Value(f64::NAN)), Value(2.0));
}

#[test]
fn percent_of_a_limit() {
    assert_eq!(percent_of_limit(32, Value(64)), Some(50.0));
    assert_eq!(percent_of_limit(128, Value(64)), Some(200.0), "a limit lowered below what is in use");
    assert_eq!(percent_of_limit(32, Max), None);
    assert_eq!(percent_of_limit(32, Value(0)), None);
}

#[test]
fn memory_formulas() {
    assert_eq!(working_set(100, 30), 70);
    assert_eq!(working_set(30, 100), 0, "read a moment apart");
    // (usage, total_inactive_file, inactive_file)
    let cases = [
        ("v1: the key with children wins", (100, Some(30), Some(5)), 70),
        ("v2", (100, None, Some(30)), 70),
        ("no keys, as Podman sends", (100, None, None), 100),
        ("more cache than usage", (100, None, Some(100)), 100),
        ("v1, likewise", (100, Some(100), Some(40)), 60),
    ];
    for (case, (usage, total, inactive), expected) in cases {
        assert_eq!(docker_cli_memory_bytes(usage, total, inactive), expected, "{case}");
    }
}

#[test]
fn swap_of_v1() {
    assert_eq!(v1_swap_bytes(150, 100), 50);
    assert_eq!(v1_swap_bytes(99, 100), 0, "read a moment apart");
    assert_eq!(v1_swap_limit_bytes(Value(128), Value(64)), Value(64));
    assert_eq!(v1_swap_limit_bytes(Value(64), Value(64)), Value(0));
    assert_eq!(v1_swap_limit_bytes(Max, Value(64)), Max);
    assert_eq!(v1_swap_limit_bytes(Value(64), Max), Value(64));
}

fn limit() -> impl Strategy<Value = Limit<u64>> {
    prop::option::of(any::<u64>()).prop_map(Limit::from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_binding_limit_is_one_of_them_and_none_is_smaller(
        own in limit(), ancestors in prop::collection::vec(limit(), 0..6), host: Option<u64>
    ) {
        let all: Vec<u64> =
            ancestors.iter().copied().chain([own]).filter_map(Limit::value).chain(host).collect();
        prop_assert_eq!(effective_memory_bytes(own, ancestors, host).value(), all.into_iter().min());
    }

    #[test]
    fn a_percent_is_finite_and_not_negative(used: u64, limit in limit()) {
        let percent = percent_of_limit(used, limit);
        prop_assert!(percent.is_none_or(|percent| percent.is_finite() && percent >= 0.0));
    }

    #[test]
    fn cores_are_finite_and_not_negative(quota: i64, period: u64, cpuset: Option<u32>, host: Option<u32>) {
        let cores = effective_cpu_cores(CpuQuota::from_v1(quota, period).cores(), [], cpuset, host);
        prop_assert!(cores.value().is_none_or(|cores| cores.is_finite() && cores >= 0.0));
    }

    #[test]
    fn the_docker_formula_agrees_with_the_working_set_while_there_is_one(usage: u64, inactive: u64) {
        prop_assume!(inactive < usage);
        prop_assert_eq!(docker_cli_memory_bytes(usage, None, Some(inactive)), working_set(usage, inactive));
    }
}
