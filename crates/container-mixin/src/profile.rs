//! The naming profiles for which files can be made.

use mixin::{Match, Matcher, Profile};

/// The names of cAdvisor, as `?profile=cadvisor` and cAdvisor itself serve them.
///
/// The root's series and those of other cgroups have no name; containers do.
pub const CADVISOR: Profile = Profile::new(
    "cadvisor",
    &[("container_id", Some("id")), ("container_name", Some("name"))],
    &[Matcher { label: "name", op: Match::NotEqual, value: "" }],
)
// Of services and of the process itself, which are what they are whoever names the containers.
.keeping(&["process", "tokio", "tasks", "spans", "system", "collector"]);

/// A profile by its name.
#[must_use]
pub fn named(name: &str) -> Option<Profile> {
    [Profile::NATIVE, CADVISOR].into_iter().find(|profile| profile.name == name)
}
