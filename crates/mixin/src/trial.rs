//! The trial of an alert: what its metrics show while all is well and while it is not. Its tests are made from that.
//!
//! One timeline serves all: well, then ill until it fires, then well again. A sample is taken every minute.

use std::collections::BTreeMap;
use std::time::Duration;

use metric_schema::Instrument;

use crate::alert::{Alert, Links};
use crate::error::{Error, Result};
use crate::expr::{Selector, Window};
use crate::metric::Series;
use crate::profile::{Match, Scope};
use crate::promtool::{Firing, Test};
use crate::render::Rendered;

/// Whom a series is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// One container of several on a host.
    Container,
    /// One target of several.
    Target,
    /// All targets together: there is no second one that stays well.
    All,
}

/// How a series goes, as samples by minute.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Course {
    /// A gauge has these values.
    Levels { well: f64, ill: f64 },
    /// A counter rises by so much in a minute.
    Rises { well: f64, ill: f64 },
    /// A gauge has this value, and rises by so much in a minute while all is not well.
    Climbs { from: f64, by: f64 },
    /// A gauge has this value while all is well, and there is no series while it is not.
    Goes { value: f64 },
}

/// One series of a trial.
#[derive(Debug, Clone)]
#[must_use]
pub struct Signal {
    selector: Selector,
    course: Course,
    divides: bool,
}

impl Signal {
    const fn new(selector: Selector, course: Course) -> Self {
        Self { selector, course, divides: false }
    }

    /// A gauge; the selector fixes the labels of its row, each by an equality.
    pub const fn gauge(selector: Selector, well: f64, ill: f64) -> Self {
        Self::new(selector, Course::Levels { well, ill })
    }

    /// A counter that rises by so much in a minute.
    pub const fn counter(selector: Selector, well: f64, ill: f64) -> Self {
        Self::new(selector, Course::Rises { well, ill })
    }

    /// A gauge that climbs by so much in a minute while all is not well.
    pub const fn climbing(selector: Selector, from: f64, by: f64) -> Self {
        Self::new(selector, Course::Climbs { from, by })
    }

    /// A gauge that is not there while all is not well.
    pub const fn going(selector: Selector, value: f64) -> Self {
        Self::new(selector, Course::Goes { value })
    }

    /// Something is divided by it.
    pub const fn divides(mut self) -> Self {
        self.divides = true;
        self
    }
}

/// What an alert's metrics show, and what comes of it.
#[derive(Debug, Clone)]
#[must_use]
pub struct Trial {
    about: About,
    signals: Vec<Signal>,
    settle: Duration,
    value: f64,
    unguarded: bool,
}

impl Trial {
    /// Of these series; the alert then shows this value.
    pub const fn new(about: About, value: f64, signals: Vec<Signal>) -> Self {
        Self { about, signals, settle: Duration::ZERO, value, unguarded: false }
    }

    /// The longest window that the condition looks back over.
    pub const fn settles_after_minutes(mut self, minutes: u64) -> Self {
        self.settle = Duration::from_secs(minutes * 60);
        self
    }

    /// The condition divides by zero where there is nothing to divide by, and is not met because nothing else is counted then either.
    pub const fn unguarded(mut self) -> Self {
        self.unguarded = true;
        self
    }
}

/// A number above this one, and not far above, that is exact in binary: so are ratios with it.
#[must_use]
pub fn above(threshold: f64) -> f64 {
    let step = step(threshold);
    (threshold / step).floor() * step + step
}

/// As [`above`], and half of the way to 1: a share of which a rate's window tells before it is full.
#[must_use]
pub fn far_above(threshold: f64) -> f64 {
    let above = above(threshold);
    above.max((above + 1.0) / 2.0)
}

/// As [`above`], below.
#[must_use]
pub fn below(threshold: f64) -> f64 {
    let step = step(threshold);
    (threshold / step).ceil() * step - step
}

/// The greatest power of two that is at most an eighth.
fn step(threshold: f64) -> f64 {
    if threshold == 0.0 { 0.125 } else { (threshold.abs() / 8.0).log2().floor().exp2() }
}

/// The moments of a trial, in minutes.
struct Timeline {
    /// When it begins to be ill.
    ill: u64,
    /// It cannot have fired yet.
    quiet: u64,
    /// It has to fire.
    fires: u64,
    /// It has to be quiet again.
    over: u64,
}

/// How long Prometheus goes on with the last sample of a series that is gone.
const LOOKBACK_MINUTES: u64 = 5;

fn minutes(time: Duration) -> u64 {
    time.as_secs().div_ceil(60)
}

impl Timeline {
    fn of(wait: Duration, trial: &Trial) -> Self {
        let settle = minutes(trial.settle);
        let ill = settle + 5;
        let fires = ill + settle.max(LOOKBACK_MINUTES) + minutes(wait) + 2;
        Self { ill, quiet: ill + wait.as_secs() / 60 - 1, fires, over: fires + settle + 3 }
    }
}

/// Which of two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entity {
    Ill,
    Well,
}

/// How the series of one test go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    /// Well, ill, well.
    Usual,
    /// Ill, but what is divided by is 0.
    NothingToDivideBy,
    /// Well; counters begin again at 0.
    CounterReset,
    /// Well.
    Well,
}

/// The labels of an entity by their native names. Rows with other labels fix them in their signals.
fn identity(about: About, entity: Entity) -> BTreeMap<String, String> {
    let ill = entity == Entity::Ill;
    let instance = if about == About::Target && !ill { "host-b:8080" } else { "host-a:8080" };
    let one = |a: &'static str, b: &'static str| if ill { a } else { b };
    [
        ("job", "container-exporter"),
        ("instance", instance),
        ("container_id", one("4f1a2b3c4d5e", "9e8d7c6b5a40")),
        ("container_name", one("web", "db")),
        ("image", one("shop/web:1", "shop/db:1")),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

impl Alert {
    /// Its tests: it is quiet before its time, fires with all labels and annotations for the one that is ill of two, is quiet
    /// afterwards; it is quiet where there is nothing to divide by, and where a counter begins again.
    ///
    /// # Errors
    ///
    /// As [`Alert::expr`], and where a signal leaves a label of its row open.
    pub fn tests(&self, scope: &Scope, links: &Links) -> Result<Vec<Test>> {
        let trial = (self.trial)(&self.chosen());
        let expr = self.expr(scope)?;
        let time = Timeline::of(self.wait, &trial);
        let mut labels = identity(trial.about, Entity::Ill);
        for signal in &trial.signals {
            for (label, _, value) in &signal.selector.matchers {
                labels.insert((*label).to_owned(), value.clone());
            }
        }
        let shown = expr.labels.iter().flatten();
        labels.retain(|label, _| shown.clone().any(|known| known == label));
        let mut fired: Vec<(String, String)> = labels
            .iter()
            .map(|(label, value)| Ok((expr.label(label)?.to_owned(), value.clone())))
            .collect::<Result<_>>()?;
        fired.extend(self.added_labels());
        let annotations = self.filled(&expr, links, &labels, trial.value)?;
        let firing = vec![Firing { labels: fired, annotations }];

        let who = if trial.about == About::All { "" } else { ", for one of two" };
        let mut tests = vec![
            trial
                .series(
                    Test::new(format!("{}: quiet, fires after its time{who}, and is over", self.name)),
                    scope,
                    Case::Usual,
                    &time,
                )?
                .alert(time.quiet, self.name, Vec::new())
                .alert(time.fires, self.name, firing)
                .alert(time.over, self.name, Vec::new()),
        ];
        if trial.signals.iter().any(|signal| signal.divides) {
            let test = Test::new(format!("{}: quiet where there is nothing to divide by", self.name));
            let test = trial.series(test, scope, Case::NothingToDivideBy, &time)?;
            tests.push(self.never(test, &expr, &time));
        }
        if trial.signals.iter().any(|signal| matches!(signal.course, Course::Rises { .. })) {
            let test = Test::new(format!("{}: quiet where a counter begins again", self.name));
            let test = trial.series(test, scope, Case::CounterReset, &time)?;
            tests.push(self.never(test, &expr, &time));
        }
        Ok(tests)
    }

    /// Neither fires nor would.
    fn never(&self, test: Test, expr: &Rendered, time: &Timeline) -> Test {
        let test = test.alert(time.fires, self.name, Vec::new());
        [time.ill, time.ill + 1, time.ill + 3, time.fires]
            .into_iter()
            .fold(test, |test, minute| test.query(minute, &expr.text, &[]))
    }
}

impl Trial {
    /// Adds the series of both entities, as far as the profile has them.
    fn series(&self, mut test: Test, scope: &Scope, case: Case, time: &Timeline) -> Result<Test> {
        let entities: &[Entity] =
            if self.about == About::All { &[Entity::Ill] } else { &[Entity::Ill, Entity::Well] };
        let mut seen: Vec<String> = Vec::new();
        for entity in entities {
            for signal in &self.signals {
                let name = match signal.selector.series_name(scope, &identity(self.about, *entity)) {
                    Err(error) if error.is_unanswerable() => continue,
                    name => name?,
                };
                // What both share, such as the host's.
                if !seen.contains(&name) {
                    seen.push(name.clone());
                    test = test.series(name, self.values(signal, *entity, case, time));
                }
            }
        }
        Ok(test)
    }

    fn values(&self, signal: &Signal, entity: Entity, case: Case, time: &Timeline) -> String {
        let (ill, end) = (time.ill, time.over + 1);
        // The first sample that is well again.
        let healed = time.fires + 1;
        let is_ill = entity == Entity::Ill && case == Case::Usual;
        let zero = case == Case::NothingToDivideBy && (signal.divides || self.unguarded);
        let always_ill = case == Case::NothingToDivideBy;
        match signal.course {
            Course::Levels { .. } | Course::Rises { .. } if zero => format!("0x{end}"),
            Course::Levels { well, ill: bad } => {
                let level = if always_ill { bad } else { well };
                if is_ill {
                    format!("{} {} {}", flat(level, ill), flat(bad, healed - ill), flat(well, end - healed))
                } else {
                    flat(level, end)
                }
            }
            Course::Climbs { from, by } if is_ill => {
                format!("{} {} {}", flat(from, ill), rising(from, by, healed - ill), flat(from, end - healed))
            }
            Course::Climbs { from, .. } => flat(from, end),
            Course::Goes { value } if is_ill => {
                let gone = format!("stale _x{}", healed - ill - 1);
                format!("{} {gone} {}", flat(value, ill), flat(value, end - healed))
            }
            Course::Goes { value } => flat(value, end),
            Course::Rises { well, ill: bad } => match case {
                Case::NothingToDivideBy => rising(0.0, bad, end),
                // As if it had counted for a long time before.
                Case::CounterReset => {
                    format!("{} {}", rising(1_048_576.0, well, ill), rising(0.0, well, end - ill))
                }
                Case::Usual if is_ill => {
                    let first = well * count(ill);
                    let second = first + bad * count(healed - ill);
                    format!(
                        "{} {} {}",
                        rising(0.0, well, ill),
                        rising(first, bad, healed - ill),
                        rising(second, well, end - healed)
                    )
                }
                Case::Usual | Case::Well => rising(0.0, well, end),
            },
        }
    }
}

/// Minutes as a factor.
#[expect(clippy::cast_precision_loss, reason = "a trial lasts hours")]
const fn count(minutes: u64) -> f64 {
    minutes as f64
}

/// So many samples of one value.
fn flat(value: f64, samples: u64) -> String {
    format!("{value}x{}", samples.saturating_sub(1))
}

/// So many samples, each more than the one before.
fn rising(from: f64, by: f64, samples: u64) -> String {
    let sign = if by < 0.0 { '-' } else { '+' };
    format!("{from}{sign}{}x{}", by.abs(), samples.saturating_sub(1))
}

/// When everything that [`steady`] adds has settled.
pub(crate) const STEADY_MINUTE: u64 = 20;

/// Adds the series of two containers that are well, as far as the profile has them, and gives the labels, in promtool's notation, of the
/// series that an expression yields of them.
pub(crate) fn steady(
    test: Test,
    signals: &[Signal],
    of: &Rendered,
    scope: &Scope,
) -> Result<(Test, Vec<String>)> {
    let trial = Trial::new(About::Container, 0.0, signals.to_vec());
    let time = Timeline { ill: 1, quiet: 1, fires: STEADY_MINUTE, over: STEADY_MINUTE };
    let test = trial.series(test, scope, Case::Well, &time)?;
    let mut yielded: Vec<String> = Vec::new();
    for entity in [Entity::Ill, Entity::Well] {
        let mut labels = identity(About::Container, entity);
        for (label, _, value) in signals.iter().flat_map(|signal| &signal.selector.matchers) {
            labels.insert((*label).to_owned(), value.clone());
        }
        let mut shown = BTreeMap::new();
        for (label, value) in labels {
            if of.labels.iter().flatten().any(|known| *known == label) {
                shown.insert(of.label(&label)?, value);
            }
        }
        let text = braced(&shown);
        if !yielded.contains(&text) {
            yielded.push(text);
        }
    }
    Ok((test, yielded))
}

/// Labels in promtool's notation; nothing where there are none.
fn braced(labels: &BTreeMap<&'static str, String>) -> String {
    let shown: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    if shown.is_empty() { String::new() } else { format!("{{{}}}", shown.join(",")) }
}

/// A window where it does not matter which.
const ANY: Window = Window::Fixed("1m");

impl Selector {
    /// The one series that the selector's equalities and the entity leave, in promtool's notation.
    fn series_name(&self, scope: &Scope, entity: &BTreeMap<String, String>) -> Result<String> {
        let alone = Scope::default().under(scope.profile);
        let open = Self { matchers: Vec::new(), ..self.clone() };
        // A function that means something for it: a bare counter is refused.
        let is_counter = self.metric.def.instrument == Instrument::Counter || self.series != Series::Value;
        let asked = if is_counter { open.rate(ANY) } else { open.max_over_time(ANY) };
        let named = asked.render(&alone)?;
        let inside = named.text.split('(').nth(1).unwrap_or_default();
        let name = inside.split(['{', '[']).next().unwrap_or_default().to_owned();
        let alias = self.metric.def.alias(scope.profile.name).filter(|_| !scope.profile.is_native());
        let mut labels = BTreeMap::new();
        for label in named.labels.iter().flatten() {
            let matcher = self.matchers.iter().find(|(of, op, _)| of == label && *op == Match::Equal);
            let fixed = self.metric.def.labels.iter().chain(alias.map_or(&[][..], |alias| alias.labels));
            let value = matcher
                .map(|(_, _, value)| value.clone())
                .or_else(|| fixed.clone().find(|(of, _)| of == label).map(|(_, value)| (*value).to_owned()))
                .or_else(|| entity.get(*label).cloned());
            match value {
                Some(value) => labels.insert(named.label(label)?, value),
                // It need not be there.
                None if self.metric.extra.contains(label) => continue,
                None => {
                    return Err(Error::OpenLabel { label: (*label).to_owned(), metric: self.metric.name() });
                }
            };
        }
        Ok(name + &braced(&labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_and_below_is_near_and_exact() {
        for (threshold, over, under) in [
            (0.9, 0.9375, 0.875),
            (0.5, 0.5625, 0.4375),
            (0.05, 0.050_781_25, 0.046_875),
            (1.0, 1.125, 0.875),
            (3.0, 3.25, 2.75),
            (100.0, 104.0, 96.0),
            (10_000.0, 10_240.0, 9216.0),
        ] {
            assert_eq!((above(threshold), below(threshold)), (over, under), "{threshold}");
        }
        assert!(above(0.0) > 0.0);
        assert_eq!((far_above(0.1), far_above(2.0)), (0.550_781_25, 2.25));
    }
}
