//! Reports: what devices did, written in groups and answered when written.
//!
//! A commit that reaches the disk costs milliseconds, whether it carries one report or five hundred. Reports
//! therefore queue for a single writer, which takes all that have come in while it was busy, commits them
//! together and only then answers each. An answered report is on disk.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tidegate_domain::{
    ActionResult, Build, BuildId, Consequence, DeviceId, PatchOutcome, Report, ReportStatus, RolloutId,
};
use tidegate_signing::{KeyRing, OfferClaim};
use tidegate_storage::{self as storage, Answered, Fetched, NewDownload, Refusal, ReportOutcome, Store};
use tokio::sync::{mpsc, oneshot};

use crate::background::FLUSH_EVERY;
use crate::{ActivityBuffer, Clock, Counters, Error, Kind, Snapshots};

/// How many reports may wait for the writer. Beyond it devices are told to come back later.
pub const MAX_QUEUED_REPORTS: usize = 10_000;

/// How many reports one commit carries at most.
pub const MAX_REPORTS_PER_COMMIT: usize = 500;

/// The error's code when a device reports on a build that it was not offered.
const NOT_OFFERED: &str = "not_offered";

/// Takes reports in.
#[derive(Clone)]
pub struct Reports {
    queue: mpsc::Sender<Entry>,
    store: Store,
    snapshots: Arc<Snapshots>,
    activity: Arc<ActivityBuffer>,
    keys: Arc<KeyRing>,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
}

/// A report as the device sends it.
#[derive(Clone)]
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
    /// The manifest's rollout; `None` from agents that know none.
    pub rollout: Option<RolloutId>,
    /// The manifest's proof of the offer.
    pub offer: Option<String>,
    /// What became of the manifest's patch; `None` where there was none.
    pub patch: Option<PatchOutcome>,
}

enum Entry {
    Report {
        report: storage::NewReport,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Sent(NewDownload),
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
        activity: Arc<ActivityBuffer>,
        keys: Arc<KeyRing>,
        counters: Arc<Counters>,
        clock: Arc<dyn Clock>,
    ) -> (Self, ReportWriter) {
        let (queue, incoming) = mpsc::channel(MAX_QUEUED_REPORTS);
        let writer = ReportWriter {
            incoming,
            store: store.clone(),
            snapshots: Arc::clone(&snapshots),
            counters: Arc::clone(&counters),
        };
        let reports = Self {
            queue,
            store,
            snapshots,
            activity,
            keys,
            counters,
            clock,
        };
        (reports, writer)
    }

    /// Records what a device says. Returns once it is on disk; the same report again returns alike and counts for
    /// nothing.
    ///
    /// It counts for the rollout whose offer it proves. Agents that prove nothing are believed as far as the server
    /// recorded an offer of this build to this device: what is still buffered is written first, and a report that
    /// finds no offer waits once for the time in which another replica writes what it has buffered.
    ///
    /// # Errors
    /// [`Kind::Invalid`], [`Kind::NotFound`] for an unknown build, [`Kind::Conflict`] for a build that the device was
    /// not offered and when a device reports one build without end, [`Kind::Unavailable`].
    pub async fn submit(&self, device: DeviceId, new: NewReport) -> Result<(), Error> {
        let rollout = self.proven(&device, &new);
        let report = storage::NewReport {
            device,
            rollout,
            attempt: new.attempt,
            patch: new.patch,
            report: Report {
                retry_generation: new.attempt.unwrap_or_default(),
                build: new.build,
                status: new.status,
                reason: new.reason,
                android_status: new.android_status,
                message: new.message,
                request_id: new.request_id,
            },
            at: self.clock.now(),
        };
        report.report.check()?;
        if rollout.is_some() {
            return self.file(report).await;
        }
        self.activity.flush(&self.store).await?;
        match self.file(report.clone()).await {
            Err(error) if error.code == NOT_OFFERED => {
                tokio::time::sleep(FLUSH_EVERY * 3 / 2).await;
                self.file(report).await
            }
            answer => answer,
        }
    }

    async fn file(&self, report: storage::NewReport) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        let entry = Entry::Report { report, reply };
        self.queue.try_send(entry).map_err(|_| busy())?;
        answer.await.map_err(|_| busy())?
    }

    /// The rollout that the report proves to have made its offer.
    fn proven(&self, device: &DeviceId, new: &NewReport) -> Option<RolloutId> {
        let rollout = new.rollout?;
        let attempt = new.attempt.or_else(|| self.retry_generation_of(rollout))?;
        let claim = OfferClaim {
            device: device.as_str(),
            rollout,
            build: new.build,
            attempt,
        };
        let proves = self.keys.proves_offer(&claim, new.offer.as_deref()?);
        proves.then_some(rollout)
    }

    fn retry_generation_of(&self, rollout: RolloutId) -> Option<u32> {
        let catalog = self.snapshots.catalog();
        let release = catalog.releases().find(|release| release.rollout.id == rollout)?;
        Some(release.rollout.spec.retry_generation)
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

    /// Records what went out of a build's file to a device. Lost, it is made good by the device's own report, so nobody
    /// waits for it.
    pub(crate) fn sent(&self, device: DeviceId, build: &Build, rollout: Option<RolloutId>, sent: Fetched) {
        if sent == Fetched::Whole {
            self.counters.downloaded(build);
        }
        let entry = Entry::Sent(NewDownload {
            device,
            build: build.id,
            rollout,
            sent,
            at: self.clock.now(),
        });
        if self.queue.try_send(entry).is_err() {
            tracing::warn!(
                build_id = build.id.0,
                "a download could not be recorded: the queue is full"
            );
        }
    }

    /// A look at the queue, for somebody who must not keep the writer from ending.
    pub fn queue(&self) -> ReportQueue {
        ReportQueue(self.queue.downgrade())
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
        "more reports wait than the server takes; send it again in a moment",
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
    reports: Vec<storage::NewReport>,
    replies: Vec<oneshot::Sender<Result<(), Error>>>,
    downloads: Vec<NewDownload>,
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
            tracing::warn!(%error, "downloads could not be recorded");
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
        reports: &[storage::NewReport],
        replies: Vec<oneshot::Sender<Result<(), Error>>>,
        outcomes: Vec<ReportOutcome>,
    ) {
        let changes = reports.iter().zip(&outcomes).filter_map(|(new, outcome)| {
            let rejection = match outcome.consequence {
                Consequence::Rejected(rejection) => Some(rejection),
                Consequence::Forgiven => None,
                Consequence::None | Consequence::Failed => return None,
            };
            Some((new.device.clone(), new.report.build, rejection))
        });
        self.snapshots.merge(changes);
        for ((new, outcome), reply) in reports.iter().zip(outcomes).zip(replies) {
            if outcome.fresh {
                self.counters.reported(new.report.build, new.report.status);
                outcome
                    .patch
                    .iter()
                    .for_each(|counted| self.counters.patched(*counted));
                log(new);
            }
            let answer = outcome
                .refused
                .map_or(Ok(()), |refused| Err(refusal(refused, &new.report)));
            let _ = reply.send(answer);
        }
    }
}

impl Group {
    fn of(entries: impl Iterator<Item = Entry>) -> Self {
        let mut group = Self::default();
        for entry in entries {
            match entry {
                Entry::Report { report, reply } => {
                    group.reports.push(report);
                    group.replies.push(reply);
                }
                Entry::Sent(download) => group.downloads.push(download),
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
        Refusal::NotOffered => Error::new(
            Kind::Conflict,
            NOT_OFFERED,
            format!(
                "the device was not offered build {}; nothing was recorded",
                report.build
            ),
        ),
        Refusal::AttemptTooHigh => Error::invalid("attempt", "is higher than that of the rollout"),
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

fn log(new: &storage::NewReport) {
    let report = &new.report;
    tracing::info!(
        event = "ota.report",
        device_id = %new.device,
        build_id = report.build.0,
        rollout_id = new.rollout.map(|rollout| rollout.0),
        status = report.status.as_str(),
        reason = report.reason.as_deref(),
        android_status = report.android_status,
        attempt = new.attempt,
    );
}
