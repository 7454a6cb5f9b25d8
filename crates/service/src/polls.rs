//! The hot path: a device asks, and is answered from memory.

use std::sync::Arc;
use std::time::Duration;

use tidegate_domain::{Decision, Offer, PollRequest, Reason, decide, poll_after};
use tidegate_signing::KeyRing;

use crate::activity::Polled;
use crate::{ActivityBuffer, Clock, Settings, Snapshots};

/// Answers polls.
pub struct Polls {
    snapshots: Arc<Snapshots>,
    activity: Arc<ActivityBuffer>,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    settings: Arc<Settings>,
}

/// The answer to a poll, valid while the catalog is held.
pub enum PollAnswer<'a> {
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
        snapshots: Arc<Snapshots>,
        activity: Arc<ActivityBuffer>,
        keys: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        settings: Arc<Settings>,
    ) -> Self {
        Self {
            snapshots,
            activity,
            keys,
            clock,
            settings,
        }
    }

    /// Decides a poll of an authenticated device and hands the answer, with the time until the next poll, to
    /// `respond`, while the catalog that it borrows from is held. The request's rejections are filled in here.
    pub fn answer<R>(&self, poll: PollRequest<'_>, respond: impl FnOnce(PollAnswer<'_>, Duration) -> R) -> R {
        let now = self.clock.now();
        let catalog = self.snapshots.catalog();
        let rejections = self.snapshots.rejections();
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
            package: &current.rollout.spec.package,
            installed: poll.installed,
            current: current.build.id,
            offered,
            at: now,
        });
        self.activity.record(reason, polled.as_ref());
        let answer = match decision {
            Decision::NoUpdate(reason) => PollAnswer::NoUpdate(reason),
            Decision::Offer(offer) => {
                let expires = now + self.settings.download_url_ttl;
                let generation = self.snapshots.token_generation(poll.device_id);
                let query = self
                    .keys
                    .sign_download(offer.build.id, poll.device_id, generation, expires);
                let base = &self.settings.public_url;
                let download_url = format!("{base}/v1/apk/{}/download?{query}", offer.build.id);
                PollAnswer::Update { offer, download_url }
            }
        };
        respond(answer, poll_after(poll.device_id, self.settings.poll_interval))
    }
}
