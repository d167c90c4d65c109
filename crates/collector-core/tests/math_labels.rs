//! The label policy on labels as strangers write them.

use std::collections::HashSet;
use std::time::Instant;

use collector_core::labels::{
    IDENTITY_NAMES, LabelPolicy, LabelSet, MAX_KEY_BYTES, Overlong, sanitise, short_id,
};
use proptest::prelude::*;

/// Applies the policy and writes the labels as `name=value`, for comparing at a glance.
fn check(policy: &LabelPolicy, labels: &[(&str, &str)], expected: &[&str]) -> LabelSet {
    let set = policy.apply(labels.iter().copied());
    let got: Vec<String> = set.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(got, expected, "for {labels:?}");
    let kept = set.labels.len() as u64;
    assert_eq!(kept + set.counts.dropped(), labels.len() as u64, "each label is kept or counted: {labels:?}");
    set
}

#[test]
fn names_are_sanitised() {
    let cases = [
        ("", "com.example/env-1", "com_example_env_1"),
        ("", "already_Fine9", "already_Fine9"),
        ("", "9lives", "_9lives"),
        ("", "größe", "gr__e"),
        ("", "a\"b\\c\nd\0", "a_b_c_d_"),
        ("", "日本", "__"),
        ("", "", "_"),
        ("container_label_", "9lives", "container_label_9lives"),
        ("my.label.", "x", "my_label_x"),
        ("9", "x", "_9x"),
    ];
    for (prefix, key, expected) in cases {
        assert_eq!(sanitise(prefix, key), expected, "{prefix:?} {key:?}");
    }
}

#[test]
fn of_labels_that_become_one_name_the_first_in_order_stays() {
    let labels = [("a_b", "3"), ("a.b", "2"), ("a-b", "1"), ("c", "4")];
    let set = check(&LabelPolicy::native(), &labels, &["a_b=1", "c=4"]);
    assert_eq!(set.counts.collisions, 2);
    // A first label that is dropped for its value keeps the name: a second one's value would mean something else.
    let strict = LabelPolicy::new(8, 1).with_overlong(Overlong::Drop);
    let set = check(&strict, &[("a-b", "long"), ("a.b", "2")], &[]);
    assert_eq!((set.counts.overlong_values, set.counts.collisions), (1, 1));
}

#[test]
fn the_exporters_own_names_are_not_to_be_had() {
    let labels: Vec<_> =
        IDENTITY_NAMES.iter().map(|name| (*name, "x")).chain([("container-id", "x")]).collect();
    assert_eq!(check(&LabelPolicy::native(), &labels, &[]).counts.reserved, 8);
    // Prometheus keeps `__*` to itself; `__name__` would rename the series.
    let set = check(&LabelPolicy::native(), &[("__name__", "x"), ("..x", "x"), ("_y", "1")], &["_y=1"]);
    assert_eq!(set.counts.reserved, 2);
    let policy = LabelPolicy::native().with_reserved(["device", "le"]);
    assert_eq!(
        check(&policy, &[("device", "x"), ("le", "x"), ("led", "on")], &["led=on"]).counts.reserved,
        2
    );
    // With a prefix the same keys are in nobody's way.
    let set = check(
        &LabelPolicy::cadvisor(),
        &[("id", "1"), ("__a", "2")],
        &["container_label___a=2", "container_label_id=1"],
    );
    assert_eq!(set.counts.dropped(), 0);
}

#[test]
fn long_values_are_cut_between_characters_or_dropped() {
    let policy = LabelPolicy::new(8, 4);
    let cases = [
        ("abcd", "abcd", 0),
        ("abcde", "abcd", 1),
        ("abcö", "abc", 1),
        ("日本", "日", 1),
        ("🦀🦀", "🦀", 1),
        ("", "", 0),
    ];
    for (value, kept, cut) in cases {
        let set = check(&policy, &[("k", value)], &[&format!("k={kept}")]);
        assert_eq!(set.counts.cut_values, cut, "{value:?}");
        let set = policy.clone().with_overlong(Overlong::Drop).apply([("k", value)]);
        assert_eq!((set.labels.len() as u64, set.counts.overlong_values), (1 - cut, cut), "{value:?}");
    }
    assert_eq!(check(&LabelPolicy::new(8, 0), &[("k", "é")], &["k="]).counts.cut_values, 1);
}

#[test]
fn what_is_above_the_number_is_dropped_from_the_end_of_the_order() {
    let policy = LabelPolicy::new(2, 9);
    let set = check(&policy, &[("d", "4"), ("b", "2"), ("a", "1"), ("c", "3")], &["a=1", "b=2"]);
    assert_eq!(set.counts.over_max, 2);
    // What is dropped for another reason takes nobody's place.
    check(&policy, &[("id", "x"), ("b", "2"), ("a", "1")], &["a=1", "b=2"]);
    assert_eq!(check(&LabelPolicy::new(0, 9), &[("a", "1")], &[]).counts.over_max, 1);
}

#[test]
fn keys_that_are_no_names_are_dropped() {
    let (fits, too_long) = ("k".repeat(MAX_KEY_BYTES), "k".repeat(MAX_KEY_BYTES + 1));
    let set =
        check(&LabelPolicy::native(), &[("", "x"), (&too_long, "x"), (&fits, "x")], &[&format!("{fits}=x")]);
    assert_eq!(set.counts.unusable_keys, 2);
}

#[test]
fn values_pass_as_they_are() {
    let nasty = "quote\" back\\slash new\nline nul\0 {le=\"1\"} 🦀";
    let set = LabelPolicy::native().apply([("k", nasty)]);
    assert_eq!(set.labels[0].1, nasty, "escaping is the format's business");
}

#[test]
fn the_defaults_of_the_profiles() {
    assert_eq!(LabelPolicy::default(), LabelPolicy::native());
    let (native, cadvisor) = (LabelPolicy::native(), LabelPolicy::cadvisor());
    assert_eq!((native.max_per_container, native.max_value_bytes, native.overlong), (32, 256, Overlong::Cut));
    assert_eq!((cadvisor.max_per_container, cadvisor.max_value_bytes), (128, 4096));
    assert_eq!((cadvisor.overlong, cadvisor.prefix.as_str()), (Overlong::Drop, "container_label_"));
}

/// The fastest of three runs over `count` labels whose values share `value`, in nanoseconds.
fn nanos(count: usize, value: &str) -> u128 {
    let keys: Vec<String> = (0..count).map(|n| format!("label.{}", n * 7919 % count)).collect();
    let run = || {
        let start = Instant::now();
        let set = LabelPolicy::new(usize::MAX, 256).apply(keys.iter().map(|key| (key.as_str(), value)));
        assert_eq!(set.labels.len(), count);
        start.elapsed().as_nanos()
    };
    (0..3).map(|_| run()).min().unwrap()
}

#[test]
fn many_labels_and_long_values_cost_what_they_must() {
    // A machine that is busy with other things may be slow in all runs of one side; what is quadratic is slow each time.
    let ever = |holds: &dyn Fn() -> bool| (0..5).any(|_| holds());
    // Ten times the labels: ten times the time and a logarithm, not a hundred times.
    assert!(ever(&|| nanos(40_000, "v") < nanos(4_000, "v") * 40), "it grows faster than the labels");
    // A MiB in each of 10,000 values is not gone through.
    let mebibyte = "é".repeat(1 << 19);
    assert!(
        ever(&|| nanos(10_000, &mebibyte) < nanos(10_000, &mebibyte[..256]) * 10),
        "values are gone through"
    );
}

#[test]
fn ids_are_shortened_only_where_twelve_digits_are_known_to_do() {
    let id = "0123456789abcdef".repeat(4);
    assert_eq!(short_id(&id), "0123456789ab");
    let not_hex = format!("{}g", &id[..63]);
    for whole in ["", "short", &id[..63], &not_hex, &format!("{id}0"), &"é".repeat(32), "podman-sandbox-1"] {
        assert_eq!(short_id(whole), whole);
    }
}

/// Keys that collide, reserved ones and any others.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab][._/-][ab]".boxed(),
        prop::sample::select(&IDENTITY_NAMES[..]).prop_map(str::to_owned).boxed(),
        any::<String>().boxed(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_labels_give_legal_unique_bounded_names_and_the_rest_is_counted(
        labels in prop::collection::hash_map(key(), any::<String>(), 0..40),
        max in 0_usize..20, max_value in 0_usize..40, cut: bool, prefix in prop_oneof!["", "[a-z9._]{1,4}"],
    ) {
        let policy = LabelPolicy::new(max, max_value)
            .with_prefix(prefix).with_overlong(if cut { Overlong::Cut } else { Overlong::Drop });
        let set = policy.apply(labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let names: HashSet<_> = set.labels.iter().map(|(name, _)| name).collect();
        prop_assert_eq!(names.len(), set.labels.len());
        for (name, value) in &set.labels {
            let mut chars = name.chars();
            prop_assert!(chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_'), "{name}");
            prop_assert!(chars.all(|c| c.is_ascii_alphanumeric() || c == '_'), "{name}");
            prop_assert!(!name.starts_with("__") && !policy.reserved.contains(name), "{name}");
            prop_assert!(value.len() <= max_value, "{value}");
            prop_assert!(labels.values().any(|whole| whole.starts_with(value.as_str())));
        }
        prop_assert!(set.labels.len() <= max);
        prop_assert_eq!(set.labels.len() as u64 + set.counts.dropped(), labels.len() as u64);
        prop_assert!(set.counts.cut_values <= set.labels.len() as u64);
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(
        (sent, shuffled) in prop::collection::vec((key(), "[a-z]{0,6}"), 0..20)
            .prop_flat_map(|labels| (Just(labels.clone()), Just(labels).prop_shuffle())),
    ) {
        let policy = LabelPolicy::new(5, 3);
        let apply = |labels: &[(String, String)]| policy.apply(labels.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        prop_assert_eq!(apply(&sent), apply(&shuffled));
    }
}
