//! The hot path: a device asks, and is answered from memory.

use std::sync::Arc;
use std::time::Duration;

use tidegate_domain::{Decision, Offer, PollRequest, Reason, decide, poll_after};
use tidegate_signing::KeyRing;

use crate::activity::Polled;
use crate::{ActivityBuffer, Clock, Live, Settings};

/// Answers polls.
pub struct Polls {
    live: Arc<Live>,
    activity: Arc<ActivityBuffer>,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    settings: Arc<Settings>,
}

/// The answer to a poll, valid while the catalog is held.
pub enum CheckIn<'a> {
    /// The device is to take this build.
    Update {
        /// What is offered.
        offer: Offer<'a>,
        /// Where to fetch it: signed, expiring, for this device.
        download_url: String,
    },
    /// The device is to take nothing.
    NoUpdate(Reason),
}

impl Polls {
    /// Over these snapshots and buffers.
    pub fn new(
        live: Arc<Live>,
        activity: Arc<ActivityBuffer>,
        keys: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        settings: Arc<Settings>,
    ) -> Self {
        Self {
            live,
            activity,
            keys,
            clock,
            settings,
        }
    }

    /// Decides a poll of an authenticated device and hands the answer, with the time until the next poll, to
    /// `respond`, while the catalog that it borrows from is held. The request's rejections are filled in here.
    pub fn check_in<R>(&self, poll: PollRequest<'_>, respond: impl FnOnce(CheckIn<'_>, Duration) -> R) -> R {
        let now = self.clock.now();
        let catalog = self.live.catalog();
        let rejections = self.live.rejections();
        let rejections = rejections.get(poll.device_id).map_or(&[][..], Vec::as_slice);
        let decision = decide(&catalog, &PollRequest { rejections, ..poll }, now);
        let (offered, reason) = match &decision {
            Decision::Offer(offer) => (Some(offer.build.id), None),
            Decision::NoUpdate(reason) => (None, Some(*reason)),
        };
        let current = catalog
            .package(poll.package)
            .and_then(|package| package.serving.first());
        let polled = current.map(|current| Polled {
            device_id: poll.device_id,
            package: &current.rollout.draft.package,
            installed: poll.installed,
            current: current.build.id,
            offered,
            at: now,
        });
        self.activity.record(reason, polled.as_ref());
        let answer = match decision {
            Decision::NoUpdate(reason) => CheckIn::NoUpdate(reason),
            Decision::Offer(offer) => {
                let expires = now + self.settings.download_url_ttl;
                let generation = self.live.token_generation(poll.device_id);
                let query = self
                    .keys
                    .sign_download(offer.build.id, poll.device_id, generation, expires);
                let base = &self.settings.public_url;
                let download_url = format!("{base}/v1/apk/{}/download?{query}", offer.build.id);
                CheckIn::Update { offer, download_url }
            }
        };
        respond(answer, poll_after(poll.device_id, self.settings.poll_interval))
    }
}
