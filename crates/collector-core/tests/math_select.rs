//! The rules that choose containers.

use collector_core::select::{IGNORE_LABEL, MAX_RULE_BYTES, RuleError, RuleList, RuleProblem, Selection};
use proptest::prelude::*;

const NONE: [&str; 0] = [];

fn selection(include: &[&str], exclude: &[&str]) -> Selection {
    Selection::new(include, exclude).unwrap()
}

/// The container that the tables ask about.
const LABELS: [(&str, &str); 4] =
    [("com.example.env", "prod"), ("monitored", ""), ("expr", "a=b"), ("url", "https://x.example/p")];

fn included_by(rule: &str) -> bool {
    selection(&[rule], &[]).admits("web-1", "registry.example/team/nginx:1.29", LABELS)
}

#[test]
fn each_rule_matches_what_it_says() {
    let cases = [
        ("name=web-*", true),
        ("name=web-1", true),
        ("name=web-?", true),
        ("name=web-[0-9]", true),
        ("name={api,web}-*", true),
        ("name=*", true),
        ("name=web", false),
        ("name=WEB-*", false),
        ("name=eb-1", false),
        ("image=*/nginx:*", true),
        ("image=registry.example/*", true),
        ("image=*/nginx", false),
        ("image=nginx:*", false),
        ("image=*.29", true),
        ("label=com.example.env=prod", true),
        ("label=com.example.env=p*", true),
        ("label=com.example.*=prod", true),
        ("label=com.example.env", true),
        ("label=com.example.env=test", false),
        ("label=com.example", false),
        ("label=comXexample.env", false),
        ("label=monitored", true),
        ("label=monitored=", true),
        ("label=monitored=true", false),
        ("label=com.example.env=", false),
        ("label=expr=a=b", true),
        ("label=url=https://*", true),
        ("label=web-1", false),
    ];
    for (rule, expected) in cases {
        assert_eq!(included_by(rule), expected, "{rule}");
        let excluding = selection(&[], &[rule]);
        assert_eq!(
            excluding.admits("web-1", "registry.example/team/nginx:1.29", LABELS),
            !expected,
            "not {rule}"
        );
    }
}

#[test]
fn one_include_is_enough_and_one_exclude_is_too_many() {
    let both = selection(&["name=web-*", "label=monitored"], &["image=*:dev", "label=secret"]);
    assert!(both.admits("web-1", "nginx:1", []));
    assert!(both.admits("db", "postgres:18", [("monitored", "")]));
    assert!(!both.admits("db", "postgres:18", []));
    assert!(!both.admits("web-1", "nginx:dev", []));
    assert!(!both.admits("web-1", "nginx:1", [("a", ""), ("secret", "x")]));
    assert!(
        !both.admits("db", "postgres:18", [("monitored", ""), ("secret", "x")]),
        "in whatever order labels come"
    );
    assert!(!both.admits("db", "postgres:18", [("secret", "x"), ("monitored", "")]));
}

#[test]
fn without_rules_every_container_is_admitted_but_those_that_ignore_themselves() {
    let all = Selection::default();
    assert!(all.admits("web", "nginx", []));
    assert!(all.admits(None, None, []));
    for (value, ignored) in [("true", true), ("True", true), ("false", false), ("", false), ("1", false)] {
        assert_eq!(all.admits("web", "nginx", [("a", "b"), (IGNORE_LABEL, value)]), !ignored, "{value:?}");
    }
    let web = selection(&["name=web"], &[]);
    assert!(!web.admits("web", "nginx", [(IGNORE_LABEL, "true")]), "an include does not overrule it");
}

#[test]
fn what_nobody_knows_matches_no_rule() {
    assert!(!selection(&["name=*"], &[]).admits(None, None, []));
    assert!(selection(&[], &["name=*", "image=*"]).admits(None, None, []));
    assert!(selection(&["image=nginx"], &[]).admits(None, "nginx", []));
}

#[test]
fn the_slash_that_engines_put_before_names_is_no_part_of_them() {
    assert!(selection(&["name=web"], &[]).admits("/web", "nginx", []));
}

#[test]
fn errors_name_the_rule_its_place_and_the_remedy() {
    let cases = [
        ("web-*", RuleProblem::NoSubject),
        ("", RuleProblem::NoSubject),
        ("nmae=web", RuleProblem::UnknownSubject("nmae".to_owned())),
        ("Name=web", RuleProblem::UnknownSubject("Name".to_owned())),
        ("=web", RuleProblem::UnknownSubject(String::new())),
        ("name=", RuleProblem::NoPattern),
        ("image=", RuleProblem::NoPattern),
        ("label=", RuleProblem::NoPattern),
        ("label==prod", RuleProblem::NoPattern),
    ];
    for (rule, problem) in cases {
        let error = Selection::new(&["name=fine", rule], &NONE).unwrap_err();
        assert_eq!(error.problem, problem, "{rule}");
        assert_eq!((error.rule.as_str(), error.list), (rule, RuleList::Include));
    }
    let message = |result: Result<Selection, RuleError>| result.unwrap_err().to_string();
    insta::assert_snapshot!(
        message(Selection::new(&NONE, &["web-*"])),
        @"failed to read the rule `web-*` in containers.exclude: no subject; write name=GLOB, image=GLOB, label=KEY or label=KEY=GLOB"
    );
    insta::assert_snapshot!(
        message(Selection::new(&["name="], &NONE)),
        @"failed to read the rule `name=` in containers.include: nothing to match with; write * for anything"
    );
    // What is wrong with a glob is told in the words of the package that compiles it.
    for rule in ["image=nginx:[1-", "label=env=pr{od", "label=e{nv=prod", "name=web\\"] {
        let error = Selection::new(&NONE, &[rule]).unwrap_err();
        assert!(matches!(error.problem, RuleProblem::BadGlob(_)), "{rule}: {error}");
        assert!(
            error
                .to_string()
                .starts_with(&format!("failed to read the rule `{rule}` in containers.exclude: bad glob: "))
        );
    }
}

#[test]
fn long_rules_are_refused_and_the_longest_compile() {
    let rule = |glob: &str| format!("name={}", glob.repeat((MAX_RULE_BYTES - 5) / glob.len()));
    for glob in ["a", "?", "*", "{a", "[a-z]", "{a*,b}", "{}", "[!a]*"] {
        let rule = rule(glob);
        assert_eq!(Selection::new(&[&rule], &NONE).is_ok(), glob != "{a", "{glob}");
        let longer = format!("{rule}aaaaaa");
        assert_eq!(Selection::new(&[longer], &NONE).unwrap_err().problem, RuleProblem::TooLong);
    }
}

/// A text that a glob takes as it is.
fn literal() -> impl Strategy<Value = String> {
    "[a-z0-9._/:@é -]{1,12}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_rule_compiles_or_is_an_error(rule in "(name|image|label)=.{0,12}", text in ".{0,12}") {
        if let Ok(selection) = Selection::new(&[&rule], &NONE) {
            let _ = selection.admits(text.as_str(), text.as_str(), [(text.as_str(), text.as_str())]);
        }
    }

    #[test]
    fn a_star_is_any_text_around_what_is_literal(before in ".{0,8}", text in literal(), after in ".{0,8}", other in literal()) {
        let whole = format!("{before}{text}{after}");
        let rule = [format!("image=*{text}*")];
        let contains = Selection::new(&rule, &NONE).unwrap();
        prop_assert!(contains.admits(None, whole.as_str(), []));
        prop_assert_eq!(contains.admits(None, other.as_str(), []), other.contains(&text));
        let label = Selection::new(&[format!("label=k=*{text}")], &NONE).unwrap();
        prop_assert_eq!(label.admits(None, None, [("k", other.as_str())]), other.ends_with(&text));
        let equal = Selection::new(&[format!("image={text}")], &NONE).unwrap();
        prop_assert_eq!(equal.admits(None, other.as_str(), []), other == text);
    }
}
