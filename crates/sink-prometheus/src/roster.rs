//! The label blocks of the containers on a page, kept from page to page.
//!
//! Escaping a container's labels costs more than writing all its series, and they seldom change. So the blocks are
//! kept: one [`Entry`] per container that the last page showed, made again when the engine's description is another
//! one (another `Arc`) or the cgroup's path changes. A roster is a value beside its snapshot; pages that are still
//! being read keep theirs.

use std::{collections::HashSet, sync::Arc, time::SystemTime};

use collector_core::{
    Container, ContainerSample, Groups, Snapshot,
    labels::{LabelPolicy, LabelSet},
};
use exposition::{LabelBlock, PackedLabels};

use crate::{Options, Profile, plan::Plan};

/// The longest identity that is written, in bytes: more than any path, name or image reference has.
pub(crate) const IDENTITY_BYTES_MAX: usize = 4096;

/// The label blocks of one container.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Whose blocks they are; kept, so that the address cannot come to mean another.
    container: Arc<Container>,
    cgroup: Option<Arc<str>>,
    /// What all its series have; read from [`Roster::identities`] where one container follows the other.
    pub(crate) identity: LabelBlock,
    /// What its info series have besides.
    pub(crate) infos: Box<[LabelBlock]>,
    labels_dropped: u64,
}

/// A container of the snapshot, in the snapshot's order.
///
/// A page goes through all containers once for each row, and ten thousand do not fit the processor's caches: what
/// decides whether a series is written stands here, in a row.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) entry: Arc<Entry>,
    /// False if another container before it has the same identity: its series would take the page down.
    pub(crate) shown: bool,
    /// Whether it has processes.
    pub(crate) running: bool,
    /// Groups of which the snapshot has no numbers of it.
    pub(crate) left_out: Groups,
    /// When its run started.
    pub(crate) started_at: Option<SystemTime>,
}

/// The label blocks of all containers of one snapshot under one profile.
#[derive(Debug)]
pub(crate) struct Roster {
    members: Vec<Member>,
    /// The identities of the members, in their order.
    pub(crate) identities: Arc<PackedLabels>,
    /// Labels that are left out or cut.
    pub(crate) labels_dropped: u64,
    /// Containers that are left out because another has the same identity.
    pub(crate) duplicates: u64,
    /// When the snapshot was taken that it was last used for.
    pub(crate) used_at: SystemTime,
}

impl Roster {
    /// The roster of a snapshot, with what can be kept of the one before.
    pub(crate) fn of(snapshot: &Snapshot, plan: &Plan, options: &Options, before: Option<&Self>) -> Self {
        let labeller = Labeller::new(plan, options);
        let old = before.map_or(&[][..], |before| &before.members);
        let mut at = 0;
        let mut all_kept = old.len() == snapshot.containers.len();
        let mut members = Vec::with_capacity(snapshot.containers.len());
        for sample in &snapshot.containers {
            // Both are sorted by id.
            while old.get(at).is_some_and(|member| member.entry.container.id < sample.container.id) {
                at += 1;
            }
            let known = old.get(at).filter(|member| member.entry.container.id == sample.container.id);
            // Of two containers of one id, each takes its own.
            at += usize::from(known.is_some());
            let cgroup = cgroup_of(sample, known.map(|member| &*member.entry), plan.profile);
            match known.filter(|member| member.entry.fits(&sample.container, cgroup.as_ref())) {
                Some(member) => members.push(Member { left_out: sample.left_out, ..member.clone() }),
                None => {
                    all_kept = false;
                    members.push(Member {
                        entry: Arc::new(labeller.entry(&sample.container, cgroup)),
                        shown: true,
                        running: sample.container.state.has_processes(),
                        left_out: sample.left_out,
                        started_at: sample.container.started_at,
                    });
                }
            }
        }
        let identities = match before {
            Some(before) if all_kept => Arc::clone(&before.identities),
            _ => {
                refuse_duplicates(&mut members, plan.root.as_ref());
                Arc::new(PackedLabels::new(members.iter().map(|member| &member.entry.identity)))
            }
        };
        Self {
            identities,
            labels_dropped: members.iter().map(|member| member.entry.labels_dropped).sum(),
            duplicates: members.iter().map(|member| u64::from(!member.shown)).sum(),
            members,
            used_at: snapshot.taken_at,
        }
    }

    /// The snapshot's containers, in its order.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }
}

impl Entry {
    fn fits(&self, container: &Arc<Container>, cgroup: Option<&Arc<str>>) -> bool {
        Arc::ptr_eq(&self.container, container) && self.cgroup.as_ref() == cgroup
    }
}

/// The first of several containers with one identity stays, in the order of their ids.
fn refuse_duplicates(members: &mut [Member], root: Option<&LabelBlock>) {
    let mut seen: HashSet<String> = root.iter().map(|root| root.as_str().to_owned()).collect();
    for member in members {
        let identity = member.entry.identity.as_str();
        member.shown = !seen.contains(identity);
        if member.shown {
            seen.insert(identity.to_owned());
        }
    }
}

/// The cgroup path that the identity shows. A sample that came late has none: the path of the page before stays, lest
/// all series change their names for one page.
fn cgroup_of(sample: &ContainerSample, known: Option<&Entry>, profile: Profile) -> Option<Arc<str>> {
    if profile == Profile::Native {
        return None;
    }
    let told = sample.sample.cgroup.as_ref().or(sample.container.cgroup.as_ref());
    told.or(known.and_then(|entry| entry.cgroup.as_ref())).cloned()
}

/// Makes entries.
struct Labeller<'a> {
    plan: &'a Plan,
    policy: &'a LabelPolicy,
    /// The keys of the labels that the policy is given; `None` is all.
    keys: Option<&'a [String]>,
    info_bytes_max: usize,
}

impl<'a> Labeller<'a> {
    fn new(plan: &'a Plan, options: &'a Options) -> Self {
        let (policy, keys) = match plan.profile {
            Profile::Native => (&options.native_labels, Some(&options.on_series[..])),
            Profile::Cadvisor => (&options.cadvisor_labels, None),
        };
        Self { plan, policy, keys, info_bytes_max: options.native_labels.max_value_bytes }
    }

    fn entry(&self, container: &Arc<Container>, cgroup: Option<Arc<str>>) -> Entry {
        let set = self.labels(container);
        let mut labels_dropped = set.counts.dropped() + set.counts.cut_values;
        let own = own_labels(container, cgroup.as_deref(), self.plan.profile);
        let mut pairs: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let extra = pairs.len();
        // A label without value is none to Prometheus.
        let kept = set.labels.iter().filter(|(_, value)| !value.is_empty());
        pairs.extend(kept.map(|(name, value)| (name.as_str(), value.as_str())));
        // One order for one set: only so are equal sets equal blocks.
        pairs[extra..].sort_unstable();
        let identity = LabelBlock::new(&pairs).unwrap_or_else(|_| {
            // A policy that does not reserve the identity's names: the identity comes first.
            labels_dropped += (pairs.len() - extra) as u64;
            LabelBlock::new(&pairs[..extra]).unwrap_or_default()
        });
        let infos = self.plan.infos.iter().map(|labels| {
            let (block, dropped) = self.info(&labels(container), &identity);
            labels_dropped += dropped;
            block
        });
        let infos = infos.collect();
        Entry { container: Arc::clone(container), cgroup, identity, infos, labels_dropped }
    }

    fn labels(&self, container: &Container) -> LabelSet {
        let all = container.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        match self.keys {
            None => self.policy.apply(all),
            Some([]) => LabelSet::default(),
            Some(keys) => self.policy.apply(all.filter(|(key, _)| keys.iter().any(|listed| listed == key))),
        }
    }

    /// The labels of an info series, and how many are cut or stand in the identity already.
    fn info(&self, labels: &[(&'static str, Arc<str>)], identity: &LabelBlock) -> (LabelBlock, u64) {
        let mut dropped = 0;
        let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(labels.len());
        for (name, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
            if identity.contains(name) || pairs.iter().any(|(other, _)| other == name) {
                dropped += 1;
                continue;
            }
            let shown = cut(value, self.info_bytes_max);
            dropped += u64::from(shown.len() < value.len());
            pairs.push((name, shown));
        }
        (LabelBlock::new(&pairs).unwrap_or_default(), dropped)
    }
}

/// Who the container is, under a profile; what is not known is left out.
fn own_labels(container: &Container, cgroup: Option<&str>, profile: Profile) -> Vec<(&'static str, String)> {
    let known = |name: &'static str, value: Option<&str>| {
        let value = cut(value?, IDENTITY_BYTES_MAX);
        (!value.is_empty()).then(|| (name, value.to_owned()))
    };
    let (name, image) = (container.name.as_deref(), container.image.as_deref());
    let unit = [known("slice", container.slice.as_deref()), known("unit", container.unit.as_deref())];
    let who = match profile {
        Profile::Native => [
            known("container_id", Some(container.id.short())),
            known("container_name", name),
            known("image", image),
        ],
        Profile::Cadvisor => {
            let made_up = || format!("/{}/{}", container.engine.as_str(), container.id);
            let id = cgroup.map_or_else(made_up, str::to_owned);
            // cAdvisor names no unit, and dashboards tell containers from units by that.
            let name = name.filter(|_| !container.is_unit());
            [known("id", Some(&id)), known("image", image), known("name", name)]
        }
    };
    who.into_iter().chain(unit).flatten().collect()
}

/// The beginning of a text, whole characters of at most so many bytes.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
