//! What a request asks for: `profile`, `collect[]`, `name[]`.

use std::{collections::HashSet, sync::Arc};

use collector_core::{Group, Groups};

use crate::{Options, Profile, plan::Plan};

/// How much of a refused value an error repeats, in characters.
const ECHO_CHARS_MAX: usize = 64;

/// A request that asks for something that there is not; an HTTP handler answers it with 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// `profile=` names none.
    #[error("unknown profile {given:?}: ask for {}", one_of(Profile::ALL.iter().map(|profile| profile.as_str())))]
    UnknownProfile {
        /// What was asked for, its beginning if it is long.
        given: String,
    },
    /// `collect[]=` names no group.
    #[error("unknown group {given:?} in collect[]: ask for {}", one_of(Group::ALL.iter().map(|group| group.as_str()).chain([Groups::STANDARD, Groups::ALL])))]
    UnknownGroup {
        /// What was asked for, its beginning if it is long.
        given: String,
    },
    /// `collect[]=` names a group that the configuration switches off.
    #[error(
        "group {given:?} in collect[] is switched off by this exporter's configuration: switch it on or leave it out"
    )]
    GroupOff {
        /// What was asked for.
        given: &'static str,
    },
}

fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

fn echo(given: &str) -> String {
    given.chars().take(ECHO_CHARS_MAX).collect()
}

/// Which families are wanted by name, for those who add their own to the page.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    names: Option<Arc<HashSet<Box<str>>>>,
}

impl Wanted {
    /// Whether the family of that name is to be on the page: always without `name[]`, else if one of them is its name,
    /// its name without `_total`, or the name of one of its samples (`_bucket`, `_sum`, `_count`).
    #[must_use]
    pub fn has(&self, family: &str) -> bool {
        let Some(names) = &self.names else { return true };
        let sample = |name: &str| {
            let suffix = name.strip_prefix(family);
            suffix.is_some_and(|suffix| matches!(suffix, "_bucket" | "_sum" | "_count"))
        };
        names.contains(family)
            || family.strip_suffix("_total").is_some_and(|base| names.contains(base))
            || names.iter().any(|name| sample(name))
    }
}

/// A request's query, understood.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) profile: Profile,
    /// Groups of the page.
    pub(crate) groups: Groups,
    pub(crate) wanted: Wanted,
}

impl Query {
    /// Other keys are passed over, as Prometheus exporters do: a scrape configuration may carry parameters for several.
    /// Of several `profile` the last counts.
    pub(crate) fn parse(pairs: &[(String, String)], options: &Options) -> Result<Self, QueryError> {
        let mut profile = options.profile;
        let mut collect = Groups::NONE;
        let mut names = HashSet::new();
        for (key, value) in pairs {
            match key.as_str() {
                "profile" => {
                    profile = Profile::parse(value)
                        .ok_or_else(|| QueryError::UnknownProfile { given: echo(value) })?;
                }
                "collect[]" => {
                    let groups = Groups::parse(value)
                        .ok_or_else(|| QueryError::UnknownGroup { given: echo(value) })?;
                    // A word for several means those that are on.
                    if let Some(group) = Group::parse(value).filter(|group| options.off.has(*group)) {
                        return Err(QueryError::GroupOff { given: group.as_str() });
                    }
                    collect = collect.or(groups);
                }
                "name[]" => {
                    names.insert(value.as_str().into());
                }
                _ => {}
            }
        }
        let groups = match (collect == Groups::NONE, names.is_empty()) {
            (false, _) => collect,
            // A name says of itself which group it needs.
            (true, false) => Groups::all(),
            (true, true) => options.groups,
        };
        let on = options.off.iter().fold(groups, Groups::without);
        let wanted = Wanted { names: (!names.is_empty()).then(|| Arc::new(names)) };
        Ok(Self { profile, groups: on, wanted })
    }

    /// The families of the page, by their place in the plan.
    pub(crate) fn families(&self, plan: &Plan) -> Vec<usize> {
        let mut families: Vec<usize> = match &self.wanted.names {
            None => (0..plan.families.len()).collect(),
            Some(names) => names.iter().filter_map(|name| plan.find(name)).collect(),
        };
        families.retain(|&at| self.groups.has(plan.families[at].group));
        families.sort_unstable();
        families.dedup();
        families
    }

    /// The groups that must be collected: those of the page that have a family on it.
    pub(crate) fn groups(&self, plan: &Plan) -> Groups {
        let Some(names) = &self.wanted.names else { return self.groups };
        let mut groups: Groups = self.families(plan).into_iter().map(|at| plan.families[at].group).collect();
        if names.iter().any(|name| plan.find(name).is_none()) {
            // It may be a family that is added to the page, which belongs to the exporter.
            groups = groups.with(Group::Exporter);
        }
        groups.and(self.groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)], options: &Options) -> Result<Query, QueryError> {
        let pairs: Vec<_> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Query::parse(&pairs, options)
    }

    #[test]
    fn errors_name_what_there_is() {
        let options = Options { off: Groups::NONE.with(Group::Filesystem), ..Options::default() };
        let error = |pairs: &[(&str, &str)]| parse(pairs, &options).unwrap_err().to_string();
        assert_eq!(error(&[("profile", "nativ")]), "unknown profile \"nativ\": ask for native, cadvisor");
        assert_eq!(
            error(&[("collect[]", "cpu"), ("collect[]", "disk")]),
            format!(
                "unknown group \"disk\" in collect[]: ask for {}, standard, all",
                Group::ALL.map(Group::as_str).join(", ")
            )
        );
        assert_eq!(
            error(&[("collect[]", "filesystem")]),
            "group \"filesystem\" in collect[] is switched off by this exporter's configuration: switch it on or \
             leave it out"
        );
        assert!(error(&[("profile", &"x".repeat(1 << 20))]).len() < 200);
    }

    #[test]
    fn groups_are_those_asked_for() {
        let options = Options {
            groups: Groups::all().without(Group::Pressure),
            off: Groups::NONE.with(Group::Filesystem),
            ..Options::default()
        };
        let plan = Plan::new(Profile::Native);
        let groups = |pairs: &[(&str, &str)]| parse(pairs, &options).unwrap().groups(&plan);
        let of = |groups: &[Group]| groups.iter().copied().collect::<Groups>();

        assert_eq!(groups(&[]), Groups::all().without(Group::Pressure).without(Group::Filesystem));
        assert_eq!(groups(&[("other", "x")]), groups(&[]));
        assert_eq!(
            groups(&[("collect[]", "cpu"), ("collect[]", "pressure")]),
            of(&[Group::Cpu, Group::Pressure])
        );
        let all = Groups::all().without(Group::Filesystem);
        assert_eq!(groups(&[("collect[]", "all")]), all, "but for what is switched off");
        assert_eq!(
            groups(&[("collect[]", "standard"), ("collect[]", "memory_detail")]),
            all.and(Groups::standard().with(Group::MemoryDetail))
        );
        assert_eq!(groups(&[("name[]", "container_memory_rss")]), of(&[Group::Memory]));
        assert_eq!(groups(&[("name[]", "container_memory_shmem_bytes")]), of(&[Group::MemoryDetail]));
        assert_eq!(groups(&[("name[]", "container_fs_usage_bytes")]), Groups::NONE, "it is switched off");
        assert_eq!(
            groups(&[("name[]", "process_open_fds")]),
            of(&[Group::Exporter]),
            "it may be an added one"
        );
        assert_eq!(
            groups(&[("collect[]", "cpu"), ("name[]", "container_memory_rss"), ("name[]", "nothing")]),
            Groups::NONE
        );
    }

    #[test]
    fn added_families_are_wanted_by_the_names_of_their_samples() {
        let query = parse(&[("name[]", "a_seconds_bucket"), ("name[]", "b")], &Options::default()).unwrap();
        for (family, wanted) in [
            ("a_seconds", true),
            ("a", false),
            ("b", true),
            ("b_total", true),
            ("c", false),
            ("a_seconds_bucket", true),
        ] {
            assert_eq!(query.wanted.has(family), wanted, "{family}");
        }
        assert!(Wanted::default().has("anything"));
    }
}
