//! What fuzzing calls: a function panics where the parser breaks a promise.

use cgroup_reader::classify;

use crate::include::{Include, Names, machine};

/// Patterns of `cgroup.include`, an empty line, and cgroups' paths, one a line: what is wanted is reached by whoever walks
/// down from the root, and has names that stand in its path.
pub fn include(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (patterns, cgroups) = text.split_once("\n\n").unwrap_or(("**", text));
    let patterns: Vec<&str> = patterns.lines().take(8).collect();
    let Ok(include) = Include::new(&patterns) else { return };
    for cgroup in cgroups.lines().take(32) {
        // As the kernel writes them.
        let is_path = cgroup.starts_with('/') && !cgroup.ends_with('/') && !cgroup.contains("//");
        if !is_path {
            continue;
        }
        let names = Names::of(cgroup);
        let words: Vec<&str> = cgroup.split('/').map(|word| word.strip_prefix('_').unwrap_or(word)).collect();
        match machine(cgroup) {
            Some(name) => assert_eq!((&*name, names.unit.is_none()), (&*names.name, true), "{cgroup:?}"),
            None => assert_eq!(words.last().copied(), Some(&*names.name), "{cgroup:?}"),
        }
        for name in [&names.unit, &names.slice].into_iter().flatten() {
            assert!(words.contains(&&**name), "{name} of {cgroup:?}");
        }
        assert!(names.slice.is_none_or(|slice| slice.ends_with(".slice")));
        let choice = include.choose(cgroup);
        if !choice.take {
            let is_part = || names.unit.is_some_and(|unit| unit != names.name);
            assert!(!include.matches(cgroup) || include.is_open(cgroup) && is_part(), "{cgroup:?}");
            continue;
        }
        assert!(include.matches(cgroup), "{cgroup:?}");
        let above = cgroup.match_indices('/').map(|(at, _)| &cgroup[..at]).skip(1);
        for above in above.filter(|above| classify(above).is_none() && machine(above).is_none()) {
            assert!(
                include.choose(above).enter,
                "{cgroup:?} is wanted by {patterns:?}, {above:?} is not entered"
            );
        }
    }
}
