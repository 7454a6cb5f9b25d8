//! The hot path: a device asks, and is answered from memory.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tidegate_domain::{
    Again, BuildId, BuildRejection, Catalog, Decision, DeviceFacts, Offer, Opening, Overlay, PollDecision,
    PollRequest, Reason, Release, RolloutId, Sha256, TERMS_SINCE_PROTOCOL, Track, VersionCode, decide_until,
    poll_after_change, poll_often,
};
use tidegate_signing::{KeyRing, OfferClaim};
use tidegate_storage::Standing;

use crate::activity::Polled;
use crate::{ActivityBuffer, Clock, PollPace, Settings, Snapshots};

/// Answers polls.
pub struct Polls {
    snapshots: Arc<Snapshots>,
    activity: Arc<ActivityBuffer>,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    settings: Arc<Settings>,
    pace: Arc<PollPace>,
}

/// A device's poll.
pub struct Poll<'a> {
    /// The device; its token was checked.
    pub device_id: &'a str,
    /// The package it asks about.
    pub package: &'a str,
    /// The version it runs; 0 when the package is not installed.
    pub installed: VersionCode,
    /// What it says of itself.
    pub facts: DeviceFacts<'a>,
    /// How often the package has crashed, if it says so.
    pub crashes: Option<u32>,
    /// The file that it has fetched as a whole and not installed yet.
    pub fetched: Option<Sha256>,
    /// Whether it can apply patches of the format [`tidegate_domain::PATCH_FORMAT`].
    pub takes_patches: bool,
    /// The time, by [`Polls::now`].
    pub at: DateTime<Utc>,
}

/// A patch that leads from what the device runs to what it is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchOffer {
    /// Where to fetch it: signed, expiring, for this device.
    pub url: String,
    /// In bytes.
    pub size: u64,
    /// The patch's own.
    pub sha256: Sha256,
    /// The version that it is made from.
    pub from_version: VersionCode,
    /// The file that it is made from. Whoever has another one has no use for it.
    pub from_sha256: Sha256,
}

/// The answer to a poll, valid while the catalog is held.
pub enum PollAnswer<'a> {
    /// The device is to take this build.
    Update {
        /// The catalog that the offer is of.
        catalog: &'a Arc<Catalog>,
        /// What is offered.
        offer: Offer<'a>,
        /// Where to fetch it: signed, expiring, for this device.
        download_url: String,
        /// Proves the offer, in the device's reports.
        proof: String,
        /// When an operator let the device try this build again, if one did.
        retry_granted_at: Option<DateTime<Utc>>,
        /// When the device may install, if not at any time.
        install_openings: Option<Vec<Opening>>,
        /// What the device may fetch in the file's place.
        patch: Option<Box<PatchOffer>>,
    },
    /// The device is to take nothing.
    NoUpdate(Reason),
    /// It can't be said yet what the device is to take: the server has just started, and does not know yet which tags the
    /// device has. It is to ask again soon.
    WarmingUp,
}

/// How long a device waits that is told [`PollAnswer::WarmingUp`].
pub const WARMING_UP_RETRY: Duration = Duration::from_secs(60);

/// The rollout that a poll is counted for as a check: one above the base that offers something, or else the current
/// base. Without a base it is the first that serves.
fn met<'t>(track: &'t Track, decision: &Decision<'_>) -> Option<&'t Release> {
    if let Decision::Offer(offer) = decision
        && offer.rollout.spec.priority > 0
    {
        let mut above = track.above_base();
        return above.find(|release| release.rollout.id == offer.rollout.id);
    }
    track.current().or(track.serving.first())
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
            pace: Arc::default(),
        }
    }

    /// The time by which polls are answered.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Tells devices to come later while more polls come than this pace allows.
    #[must_use]
    pub fn paced(self, pace: Arc<PollPace>) -> Self {
        Self { pace, ..self }
    }

    /// Decides a poll of an authenticated device and hands the answer, with the time until the next poll, to
    /// `respond`, while the catalog that it borrows from is held.
    pub fn answer<R>(&self, poll: &Poll<'_>, respond: impl FnOnce(PollAnswer<'_>, Duration) -> R) -> R {
        let now = poll.at;
        let catalog = self.snapshots.catalog();
        if !self.snapshots.knows_tags() && catalog.needs_tags(poll.package) {
            return respond(PollAnswer::WarmingUp, WARMING_UP_RETRY);
        }
        let overlay = self.snapshots.overlay(poll.device_id);
        let overlay = overlay.as_deref().unwrap_or(Overlay::none());
        let rejections = self.snapshots.rejections();
        let gave_up = rejections.of(poll.device_id);
        let request = PollRequest::new(
            poll.device_id,
            poll.package,
            poll.installed,
            &poll.facts,
            gave_up,
            overlay,
        )
        .with_fetched(poll.fetched);
        let PollDecision {
            decision,
            again,
            watch,
        } = decide_until(&catalog, &request, now);
        let asked = (poll.device_id, poll.package);
        let watched = self.snapshots.gates_watch(&catalog, asked, watch.as_ref(), now);
        let has_file = match &decision {
            Decision::Offer(offer) => poll.fetched == Some(offer.build.facts.sha256),
            Decision::NoUpdate(_) => false,
        };
        let told = match &decision {
            Decision::Offer(offer) => Standing::Offered {
                rollout: offer.rollout.id,
                build: offer.build.id,
            },
            Decision::NoUpdate(reason) => Standing::Refused(*reason),
        };
        let met = catalog
            .track(poll.package)
            .and_then(|track| met(track, &decision));
        self.activity.record(&Polled {
            device_id: poll.device_id,
            facts: &poll.facts,
            package: poll.package,
            installed: poll.installed,
            crashes: poll.crashes,
            met: met.map(|met| (met.rollout.id, met.build.id)),
            told,
            watch,
            is_member: watched.is_member,
            has_file,
            at: now,
        });
        let answer = match decision {
            Decision::NoUpdate(reason) => PollAnswer::NoUpdate(reason),
            Decision::Offer(offer) => self.update(poll, offer, &catalog, gave_up),
        };
        let mut wait = self.poll_after(poll.device_id, again, now);
        if poll.facts.dense && watched.entered_lately {
            wait = wait.min(poll_often(poll.device_id));
        }
        respond(answer, wait)
    }

    fn poll_after(&self, device_id: &str, again: Option<Again>, now: DateTime<Utc>) -> Duration {
        let interval = self.settings.poll_interval.mul_f64(self.pace.polled(now));
        poll_after_change(device_id, interval, again, now)
    }

    /// What a device needs to take an offer: where the file is, and the proof that it was offered.
    fn update<'a>(
        &self,
        poll: &Poll<'_>,
        offer: Offer<'a>,
        catalog: &'a Arc<Catalog>,
        gave_up: &[BuildRejection],
    ) -> PollAnswer<'a> {
        let (rollout, build, device_id) = (offer.rollout.id, offer.build.id, poll.device_id);
        let settings = &offer.rollout.spec.settings;
        let install_openings = catalog.calendars().to_install(
            &settings.calendars,
            settings.ignore_freeze,
            poll.facts.zone.as_deref(),
            poll.at,
        );
        let expires = poll.at + self.settings.download_url_ttl;
        let generation = self.snapshots.token_generation(device_id, &self.keys);
        let query = self
            .keys
            .sign_download(build, rollout, device_id, generation, expires);
        let base = &self.settings.public_url;
        let proof = self.keys.sign_offer(&OfferClaim {
            device: device_id,
            rollout,
            build,
            attempt: offer.rollout.spec.retry_generation,
        });
        PollAnswer::Update {
            catalog,
            offer,
            download_url: format!("{base}/v1/apk/{build}/download?{query}"),
            proof,
            patch: self.patch(poll, (build, rollout), generation, expires),
            install_openings: install_openings.filter(|_| poll.facts.protocol >= TERMS_SINCE_PROTOCOL),
            retry_granted_at: gave_up
                .iter()
                .find(|(of, _)| *of == build)
                .and_then(|(_, rejection)| rejection.lifted_at()),
        }
    }

    /// The patch from what the device runs, if it takes patches and there is one. Whether it has that very file is the
    /// device's to find out.
    fn patch(
        &self,
        poll: &Poll<'_>,
        (build, rollout): (BuildId, RolloutId),
        generation: u32,
        expires: DateTime<Utc>,
    ) -> Option<Box<PatchOffer>> {
        if !poll.takes_patches {
            return None;
        }
        let patches = self.snapshots.patches();
        let patch = patches.made_from(build, poll.installed)?;
        let base = patch.base;
        let query = self
            .keys
            .sign_patch((build, base), rollout, poll.device_id, generation, expires);
        let public_url = &self.settings.public_url;
        Some(Box::new(PatchOffer {
            url: format!("{public_url}/v1/apk/{build}/patches/{base}?{query}"),
            size: patch.size,
            sha256: patch.sha256,
            from_version: poll.installed,
            from_sha256: patch.base_sha256,
        }))
    }
}
