//! What polls are told, and the reports and downloads that follow.

use std::ops::Range;

use futures::StreamExt as _;
use tidegate_domain::{BuildId, DeviceFacts, Reason, ReportStatus, RolloutId};
use tidegate_service::{Download, Error, NewReport, Poll, PollAnswer};
use tidegate_signing::DownloadQuery;
use tidegate_testkit::apks::PACKAGE;

use crate::instance::{Instance, id, version};

/// What an offer says, as far as reports and downloads need it.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) device: String,
    pub(crate) build: BuildId,
    pub(crate) rollout: RolloutId,
    pub(crate) attempt: u32,
    pub(crate) forced: bool,
    pub(crate) proof: String,
    pub(crate) query: DownloadQuery,
    /// Whether the manifest says that an operator lets the device try again.
    pub(crate) retry_granted: bool,
}

impl Instance {
    /// Polls for the package: the offer, or why there is none.
    pub(crate) fn poll(&self, device: &str, installed: i64) -> Result<Offer, Reason> {
        let poll = Poll {
            device_id: device,
            package: PACKAGE,
            installed: version(installed),
            facts: DeviceFacts::default(),
            crashes: None,
            fetched: None,
            takes_patches: false,
            at: self.polls.now(),
        };
        self.polls.answer(&poll, |answer, _| match answer {
            PollAnswer::NoUpdate(reason) => Err(reason),
            PollAnswer::WarmingUp => panic!("the tags were read"),
            PollAnswer::Update {
                offer,
                download_url,
                proof,
                retry_granted_at,
                ..
            } => Ok(Offer {
                device: device.to_owned(),
                build: offer.build.id,
                rollout: offer.rollout.id,
                attempt: offer.rollout.spec.retry_generation,
                forced: offer.forced,
                proof,
                query: query_of(&download_url),
                retry_granted: retry_granted_at.is_some(),
            }),
        })
    }

    /// The build that a device is offered, or why none is.
    pub(crate) fn told(&self, device: &str, installed: i64) -> Result<BuildId, Reason> {
        self.poll(device, installed).map(|offer| offer.build)
    }

    /// Reports.
    pub(crate) async fn report(&self, device: &str, report: NewReport) -> Result<(), Error> {
        self.reports.submit(id(device), report).await
    }

    /// Reports what became of an offer, with its proof.
    pub(crate) async fn report_on(&self, offer: &Offer, status: ReportStatus) -> Result<(), Error> {
        self.report(&offer.device, offer.report(status)).await
    }

    /// Reports so many failures of Android's with an offer, each of a try of its own.
    pub(crate) async fn fail(&self, offer: &Offer, times: u32) {
        for number in 0..times {
            let report = NewReport {
                request_id: Some(format!("{}-{number}", self.clock.read())),
                ..offer.report(ReportStatus::InstallFailed)
            };
            self.report(&offer.device, report).await.unwrap();
        }
    }

    /// What the URL of an offer permits.
    pub(crate) async fn permit(&self, offer: &Offer) -> Download {
        let download = self.downloads.authorize(offer.build, &offer.query, None);
        download.await.unwrap()
    }

    /// Fetches a part of an offer's file to its end.
    pub(crate) async fn fetch(&self, offer: &Offer, range: Range<u64>) -> Vec<u8> {
        let download = self.permit(offer).await;
        let chunks = self.downloads.open(&download, range).await.unwrap();
        let chunks: Vec<_> = chunks.collect().await;
        chunks.into_iter().flat_map(Result::unwrap).collect()
    }
}

impl Offer {
    /// A report with the offer's proof.
    pub(crate) fn report(&self, status: ReportStatus) -> NewReport {
        NewReport {
            attempt: Some(self.attempt),
            rollout: Some(self.rollout),
            offer: Some(self.proof.clone()),
            patch: None,
            ..unproven(self.build, status)
        }
    }
}

/// A report as an agent sends it that echoes nothing of the offer.
pub(crate) fn unproven(build: BuildId, status: ReportStatus) -> NewReport {
    NewReport {
        build,
        status,
        reason: None,
        android_status: None,
        message: None,
        attempt: None,
        request_id: None,
        rollout: None,
        offer: None,
        patch: None,
    }
}

/// The query of a download URL, in which nothing is encoded as long as the device's name is plain.
pub(crate) fn query_of(url: &str) -> DownloadQuery {
    let (_, query) = url.split_once('?').unwrap();
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(field, _)| *field == name).unwrap().1.to_owned()
    };
    DownloadQuery {
        device_id: value("device_id"),
        rollout_id: value("rollout_id").parse().ok(),
        expires: value("expires").parse().unwrap(),
        signature: value("signature"),
    }
}
