//! What the engine holds beside containers: asked for in the background, and only while somebody wants it.
//!
//! A page marks the questions of its groups as due ([`Holdings::fill`]) and shows the last answers; a task of the session
//! ([`run`]) asks them, one after the other. A question that is refused is told of once, and asked again like the others.

mod read;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use collector_core::{
    Absence, Group, Groups, Reading, Sample, Value,
    catalogue::ids::{self, QUESTIONS},
};
use http::StatusCode;
use tokio::{
    sync::Notify,
    time::{Duration, Instant},
};

use crate::{
    client::{Client, Fault},
    inventory::Shared,
    read::ApiVersion,
};

/// Most bytes of an answer that are read.
const BYTES_MAX: usize = 64 << 20;

/// A question to the engine; the discriminant is its place in [`QUESTIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Info,
    Images,
    Volumes,
    Networks,
    SystemDf,
}

impl Question {
    const ALL: [Self; QUESTIONS.len()] =
        [Self::Info, Self::Images, Self::Volumes, Self::Networks, Self::SystemDf];

    const fn word(self) -> &'static str {
        QUESTIONS[self as usize]
    }

    const fn group(self) -> Group {
        match self {
            Self::SystemDf => Group::EngineDisk,
            _ => Group::Engine,
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Images => "images/json",
            Self::Volumes => "volumes",
            Self::Networks => "networks",
            Self::SystemDf => "system/df",
        }
    }

    fn read(self, body: &str) -> Option<Answer> {
        match self {
            Self::Info => read::info(body).map(Answer::Objects),
            Self::Images => read::images(body).map(Answer::Images),
            Self::Volumes => read::volumes(body).map(|count| Answer::Objects(vec![("volumes", count)])),
            Self::Networks => read::networks(body).map(|count| Answer::Objects(vec![("networks", count)])),
            Self::SystemDf => read::disk(body).map(Answer::Disk),
        }
    }
}

/// What the engine said.
#[derive(Debug, PartialEq)]
enum Answer {
    /// Numbers of things, by [`ids::OBJECTS`].
    Objects(Vec<(&'static str, u64)>),
    Images(Vec<read::Image>),
    Disk(Vec<read::Disk>),
}

/// One question's state.
#[derive(Debug, Default)]
struct Told {
    /// Somebody wants it, and what is known is old.
    is_due: bool,
    asked: Option<Instant>,
    answer: Option<(Instant, Answer)>,
    /// Why there was no answer the last time.
    refused: Option<Absence>,
    /// A refusal was logged since the last answer.
    is_logged: bool,
}

/// The answers of one engine, for all sessions with it.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    told: Mutex<[Told; QUESTIONS.len()]>,
    due: Notify,
}

impl Holdings {
    fn lock(&self) -> MutexGuard<'_, [Told; QUESTIONS.len()]> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills the wanted rows with the last answers, and marks what is older than the interval as due.
    pub(crate) fn fill(&self, groups: Groups, source: &str, interval: Duration, out: &mut Sample) {
        let mut is_any_due = false;
        let mut told = self.lock();
        for question in Question::ALL.into_iter().filter(|question| groups.has(question.group())) {
            let told = &mut told[question as usize];
            if !told.is_due && told.asked.is_none_or(|asked| asked.elapsed() >= interval) {
                told.is_due = true;
                is_any_due = true;
            }
            show(question, told, source, out);
        }
        if is_any_due {
            self.due.notify_one();
        }
    }

    /// The due question that has waited longest, so that a slow one never keeps out the others.
    fn next(&self) -> Option<Question> {
        let told = self.lock();
        let due = Question::ALL.into_iter().filter(|question| told[*question as usize].is_due);
        due.min_by_key(|question| told[*question as usize].asked)
    }

    /// Notes an answer, or why there is none; returns whether that must be logged.
    fn note(&self, question: Question, answer: Result<Answer, Absence>) -> bool {
        let now = Instant::now();
        let mut told = self.lock();
        let told = &mut told[question as usize];
        told.is_due = false;
        told.asked = Some(now);
        match answer {
            Ok(answer) => {
                told.answer = Some((now, answer));
                told.refused = None;
                told.is_logged = false;
                false
            }
            Err(reason) => {
                told.refused = Some(reason);
                // What cannot be asked now says nothing of now; a slow engine's last word still does.
                if reason != Absence::Timeout {
                    told.answer = None;
                }
                !std::mem::replace(&mut told.is_logged, true)
            }
        }
    }
}

fn show(question: Question, told: &Told, source: &str, out: &mut Sample) {
    if let Some(reason) = told.refused {
        let labels = [source, question.word(), reason.as_str()];
        out.set_in(ids::ENGINE_UNANSWERED, &labels, Reading::int(1));
    }
    let Some((at, answer)) = &told.answer else { return };
    let age = u64::try_from(at.elapsed().as_nanos()).unwrap_or(u64::MAX);
    out.set_in(ids::ENGINE_ANSWER_AGE, &[source, question.word(), ""], Reading::Value(Value::Nanos(age)));
    match answer {
        Answer::Objects(objects) => {
            for (kind, count) in objects {
                out.set_in(ids::ENGINE_OBJECTS, &[source, kind], Reading::int(*count));
            }
        }
        Answer::Images(images) => {
            for image in images {
                let labels = [source, &image.id, &image.name, &image.digest];
                let mut set = |row, value: Option<Value>| {
                    if let Some(value) = value {
                        out.set_in(row, &labels, Reading::Value(value));
                    }
                };
                set(ids::ENGINE_IMAGE_SIZE, image.bytes.map(Value::Int));
                set(ids::ENGINE_IMAGE_CREATED, image.created_nanos.map(Value::Nanos));
            }
        }
        Answer::Disk(disks) => {
            for disk in disks {
                let kept = disk.total.saturating_sub(disk.reclaimable);
                for (word, bytes) in [("true", disk.total - kept), ("false", kept)] {
                    out.set_in(ids::ENGINE_DISK_USAGE, &[source, disk.kind, word], Reading::int(bytes));
                }
            }
        }
    }
}

/// Asks what is due, as long as the session lasts.
pub(crate) async fn run(shared: Arc<Shared>, client: Client, api: ApiVersion) {
    let holdings = &shared.holdings;
    loop {
        let Some(question) = holdings.next() else {
            holdings.due.notified().await;
            continue;
        };
        let target = format!("/v{api}/{}", question.path());
        let answer = client.get(&target, shared.options.holdings_timeout, BYTES_MAX).await;
        let answer = answer.and_then(|body| question.read(&body).ok_or(Fault::Answer { target }));
        let fault = match answer {
            Ok(answer) => {
                holdings.note(question, Ok(answer));
                continue;
            }
            Err(fault) => fault,
        };
        if holdings.note(question, Err(reason(&fault))) {
            tracing::warn!(
                source = shared.options.name,
                "the metrics of {} are absent for want of an answer; later refusals are only counted: {fault}",
                question.word()
            );
        }
    }
}

fn reason(fault: &Fault) -> Absence {
    match fault {
        Fault::Timeout { .. } => Absence::Timeout,
        Fault::Answer { .. } | Fault::TooLong { .. } => Absence::Malformed,
        Fault::Status { status, .. } => match *status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED => {
                Absence::PermissionDenied
            }
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST | StatusCode::NOT_IMPLEMENTED => {
                Absence::NoSourceOnVersion
            }
            _ => Absence::NotReachable,
        },
        _ => Absence::NotReachable,
    }
}
