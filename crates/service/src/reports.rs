//! Reports: what devices did, written in groups and answered when written.
//!
//! A commit that reaches the disk costs milliseconds, whether it carries one report or five hundred. Reports
//! therefore queue for a single writer, which takes all that have come in while it was busy, commits them
//! together and only then answers each. An answered report is on disk.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tidegate_domain::{ActionResult, Build, BuildId, Consequence, DeviceId, Rejection, Report, ReportStatus};
use tidegate_storage::{Answered, Refusal, ReportOutcome, Store};
use tokio::sync::{mpsc, oneshot};

use crate::{Clock, Counters, Error, Kind, Snapshots};

/// How many reports may wait for the writer. Beyond it devices are told to come back later.
pub const MAX_QUEUED_REPORTS: usize = 10_000;

/// How many reports one commit carries at most.
pub const MAX_REPORTS_PER_COMMIT: usize = 500;

/// Takes reports in.
#[derive(Clone)]
pub struct Reports {
    queue: mpsc::Sender<Entry>,
    snapshots: Arc<Snapshots>,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
}

/// A report as the device sends it; the attempt may be left to the server.
pub struct NewReport {
    /// The build.
    pub build: BuildId,
    /// What happened.
    pub status: ReportStatus,
    /// Why, in a word.
    pub reason: Option<String>,
    /// `PackageInstaller`'s status code.
    pub android_status: Option<i32>,
    /// `PackageInstaller`'s message.
    pub message: Option<String>,
    /// The manifest's attempt; `None` for the one that the build's rollout is at.
    pub attempt: Option<u32>,
    /// Names the device's try.
    pub request_id: Option<String>,
}

enum Entry {
    Report {
        device: DeviceId,
        report: Report,
        at: DateTime<Utc>,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Downloaded {
        device: DeviceId,
        build: BuildId,
        at: DateTime<Utc>,
    },
    Answer {
        device: DeviceId,
        result: ActionResult,
        at: DateTime<Utc>,
        reply: oneshot::Sender<Result<(), Error>>,
    },
}

impl Reports {
    /// The queue, and the writer that empties it, to be run as a task. The writer ends when every [`Reports`] is
    /// gone and all that they took in is written.
    pub fn new(
        store: Store,
        snapshots: Arc<Snapshots>,
        counters: Arc<Counters>,
        clock: Arc<dyn Clock>,
    ) -> (Self, ReportWriter) {
        let (queue, incoming) = mpsc::channel(MAX_QUEUED_REPORTS);
        let writer = ReportWriter {
            incoming,
            store,
            snapshots: Arc::clone(&snapshots),
            counters: Arc::clone(&counters),
        };
        let reports = Self {
            queue,
            snapshots,
            counters,
            clock,
        };
        (reports, writer)
    }

    /// Records what a device says. Returns once it is on disk; the same report again returns alike and counts for
    /// nothing.
    ///
    /// # Errors
    /// [`Kind::Invalid`], [`Kind::NotFound`] for an unknown build, [`Kind::Conflict`] when a device reports one
    /// build without end, [`Kind::Unavailable`].
    pub async fn submit(&self, device: DeviceId, new: NewReport) -> Result<(), Error> {
        let report = Report {
            attempt: new.attempt.unwrap_or_else(|| self.attempt_of(new.build)),
            build: new.build,
            status: new.status,
            reason: new.reason,
            android_status: new.android_status,
            message: new.message,
            request_id: new.request_id,
        };
        report.check()?;
        let (reply, answer) = oneshot::channel();
        let entry = Entry::Report {
            device,
            report,
            at: self.clock.now(),
            reply,
        };
        self.queue.try_send(entry).map_err(|_| busy())?;
        answer.await.map_err(|_| busy())?
    }

    /// Records what became of a command on the device that it was sent to. Returns once it is on disk; the same
    /// answer again returns alike, and the first one stays.
    ///
    /// # Errors
    /// [`Kind::Invalid`], [`Kind::NotFound`] when this device was sent no such command, [`Kind::Unavailable`].
    pub async fn answer(&self, device: DeviceId, result: ActionResult) -> Result<(), Error> {
        result.check()?;
        let (reply, answer) = oneshot::channel();
        let entry = Entry::Answer {
            device,
            result,
            at: self.clock.now(),
            reply,
        };
        self.queue.try_send(entry).map_err(|_| busy())?;
        answer.await.map_err(|_| busy())?
    }

    /// Records that every byte of a build's file went out to a device. Lost, it is made good by the device's own
    /// report, so nobody waits for it.
    pub(crate) fn downloaded(&self, device: DeviceId, build: &Build) {
        self.counters.downloaded(build);
        let entry = Entry::Downloaded {
            device,
            build: build.id,
            at: self.clock.now(),
        };
        if self.queue.try_send(entry).is_err() {
            tracing::warn!(
                build_id = build.id.0,
                "a finished download could not be recorded: the queue is full"
            );
        }
    }

    /// A look at the queue, for somebody who must not keep the writer from ending.
    pub fn queue(&self) -> ReportQueue {
        ReportQueue(self.queue.downgrade())
    }

    fn attempt_of(&self, build: BuildId) -> u32 {
        let catalog = self.snapshots.catalog();
        let serving = catalog.packages().flat_map(|(_, package)| &package.serving);
        serving
            .filter(|release| release.build.id == build)
            .map(|r| r.rollout.spec.attempt)
            .max()
            .unwrap_or(1)
    }
}

/// Looks at the queue of reports without being one that reports.
#[derive(Clone)]
pub struct ReportQueue(mpsc::WeakSender<Entry>);

impl ReportQueue {
    /// How many reports wait for the writer; none once nobody can report any more.
    pub fn len(&self) -> usize {
        let queue = self.0.upgrade();
        queue.map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn busy() -> Error {
    Error::new(
        Kind::Unavailable,
        "busy",
        "more reports wait than the server takes; send it again in a minute",
    )
}

/// Writes reports in groups.
pub struct ReportWriter {
    incoming: mpsc::Receiver<Entry>,
    store: Store,
    snapshots: Arc<Snapshots>,
    counters: Arc<Counters>,
}

/// What a group is split into.
#[derive(Default)]
struct Group {
    reports: Vec<(DeviceId, Report, DateTime<Utc>)>,
    replies: Vec<oneshot::Sender<Result<(), Error>>>,
    downloads: Vec<(DeviceId, BuildId, DateTime<Utc>)>,
    answers: Vec<(DeviceId, ActionResult, DateTime<Utc>)>,
    answer_replies: Vec<oneshot::Sender<Result<(), Error>>>,
}

impl ReportWriter {
    /// Writes until nobody can report any more.
    pub async fn run(mut self) {
        let mut entries = Vec::with_capacity(MAX_REPORTS_PER_COMMIT);
        while self
            .incoming
            .recv_many(&mut entries, MAX_REPORTS_PER_COMMIT)
            .await
            > 0
        {
            self.write(Group::of(entries.drain(..))).await;
        }
    }

    async fn write(&self, mut group: Group) {
        if !group.downloads.is_empty()
            && let Err(error) = self.store.record_downloads(group.downloads).await
        {
            tracing::warn!(%error, "finished downloads could not be recorded");
        }
        if !group.answers.is_empty() {
            let replies = std::mem::take(&mut group.answer_replies);
            self.write_answers(std::mem::take(&mut group.answers), replies)
                .await;
        }
        if group.reports.is_empty() {
            return;
        }
        match self.store.record_reports(group.reports.clone()).await {
            Ok(outcomes) => self.answer(&group.reports, group.replies, outcomes),
            Err(error) => {
                let error = Error::from(error);
                for reply in group.replies {
                    // A device that went away meanwhile sends its report again.
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    async fn write_answers(
        &self,
        answers: Vec<(DeviceId, ActionResult, DateTime<Utc>)>,
        replies: Vec<oneshot::Sender<Result<(), Error>>>,
    ) {
        match self.store.record_results(answers.clone()).await {
            Ok(told) => {
                for (((device, result, _), answered), reply) in answers.iter().zip(told).zip(replies) {
                    let _ = reply.send(match answered {
                        Answered::Fresh => {
                            log_answer(device, result);
                            Ok(())
                        }
                        Answered::Repeat => Ok(()),
                        Answered::Unknown => Err(unknown_command(result)),
                    });
                }
            }
            Err(error) => {
                let error = Error::from(error);
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    fn answer(
        &self,
        reports: &[(DeviceId, Report, DateTime<Utc>)],
        replies: Vec<oneshot::Sender<Result<(), Error>>>,
        outcomes: Vec<ReportOutcome>,
    ) {
        self.snapshots.apply(
            reports
                .iter()
                .zip(&outcomes)
                .filter_map(|((device, report, _), outcome)| match outcome.consequence {
                    Consequence::Rejected(rejection) => Some((device, report.build, Some(rejection))),
                    Consequence::Forgiven => Some((device, report.build, None)),
                    Consequence::None | Consequence::Failed => None,
                }),
        );
        for (((device, report, _), outcome), reply) in reports.iter().zip(outcomes).zip(replies) {
            if outcome.fresh {
                self.counters.reported(report.build, report.status);
                log(device, report);
            }
            let answer = outcome
                .refused
                .map_or(Ok(()), |refused| Err(refusal(refused, report)));
            let _ = reply.send(answer);
        }
    }
}

impl Group {
    fn of(entries: impl Iterator<Item = Entry>) -> Self {
        let mut group = Self::default();
        for entry in entries {
            match entry {
                Entry::Report {
                    device,
                    report,
                    at,
                    reply,
                } => {
                    group.reports.push((device, report, at));
                    group.replies.push(reply);
                }
                Entry::Downloaded { device, build, at } => group.downloads.push((device, build, at)),
                Entry::Answer {
                    device,
                    result,
                    at,
                    reply,
                } => {
                    group.answers.push((device, result, at));
                    group.answer_replies.push(reply);
                }
            }
        }
        group
    }
}

fn refusal(refusal: Refusal, report: &Report) -> Error {
    match refusal {
        Refusal::UnknownDevice => Error::new(
            Kind::Unauthenticated,
            "unknown_device",
            "the device is not enrolled here; enrol again",
        ),
        // No case of "slow down": it will be no different later, and the device is to let go of it.
        Refusal::TooMany => Error::new(
            Kind::Conflict,
            "too_many_reports",
            format!("the device has reported build {} too often", report.build),
        ),
        Refusal::UnknownBuild => {
            Error::not_found("unknown_build", format!("there is no build {}", report.build))
        }
    }
}

fn unknown_command(result: &ActionResult) -> Error {
    let message = format!(
        "this device was sent no command {}; its answer was not recorded",
        result.request_id
    );
    Error {
        field: Some("request_id".to_owned()),
        retry_after: None,
        ..Error::not_found("unknown_command", message)
    }
}

fn log_answer(device: &DeviceId, result: &ActionResult) {
    tracing::info!(
        event = "ota.action_result",
        device_id = %device,
        request_id = result.request_id,
        action = result.action,
        outcome = result.outcome,
    );
}

fn log(device: &DeviceId, report: &Report) {
    tracing::info!(
        event = "ota.report",
        device_id = %device,
        build_id = report.build.0,
        status = report.status.as_str(),
        reason = report.reason.as_deref(),
        android_status = report.android_status,
        attempt = report.attempt,
    );
}

/// What [`Snapshots::apply`] takes: a device, a build, and the rejection to remember or `None` to forget.
pub(crate) type RejectionChange<'a> = (&'a DeviceId, BuildId, Option<Rejection>);
