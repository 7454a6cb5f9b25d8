//! Manifests, written ahead: what a rollout tells all of its devices alike is written once for each catalog, and a poll
//! adds only what is the device's own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tidegate_domain::{BuildId, Catalog, Offer, Opening, RolloutId, SignerFingerprint, TERMS_SINCE_PROTOCOL};
use tidegate_proto::v1;
use tidegate_service::{PatchOffer, PerWorker};

use super::PROTOCOL;
use crate::{messages, verbs};

/// The caches; threads beyond them share some.
const WORKERS: usize = 16;

/// The bytes that a device's own fields have beside the texts in them, at most.
const ROOM: usize = 128;

/// The manifests of the catalog that was asked last.
pub(super) struct Manifests(PerWorker<Mutex<Prepared>>);

#[derive(Default)]
struct Prepared {
    /// The catalog that the texts were made from. It is not kept alive, but its address is not given to another.
    catalog: Weak<Catalog>,
    texts: HashMap<Key, Arc<[u8]>>,
}

/// What the fields that are not a device's own depend on, within a catalog.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    rollout: RolloutId,
    build: BuildId,
    signer: SignerFingerprint,
    forced: bool,
    knows_terms: bool,
}

/// What is told one device alone.
pub(super) struct Own {
    pub download_url: String,
    pub proof: String,
    pub retry_granted_at: Option<DateTime<Utc>>,
    pub install_openings: Option<Vec<Opening>>,
    pub patch: Option<Box<PatchOffer>>,
    pub poll_after: Duration,
}

impl Own {
    /// Whether it has fields that few devices have.
    fn has_more(&self) -> bool {
        self.retry_granted_at.is_some() || self.install_openings.is_some()
    }
}

impl Manifests {
    pub(super) fn new() -> Self {
        Self(PerWorker::new(WORKERS))
    }

    /// The manifest of this offer, of this catalog, as JSON.
    pub(super) fn write(
        &self,
        catalog: &Arc<Catalog>,
        offer: &Offer<'_>,
        protocol: u32,
        own: Own,
    ) -> Vec<u8> {
        if own.has_more() {
            return json(&whole(offer, protocol, own));
        }
        let common = self.common(catalog, offer, protocol);
        let own_bytes = own.download_url.len() + own.proof.len();
        let mut text = Vec::with_capacity(common.len() + own_bytes + ROOM);
        text.extend_from_slice(&common);
        for (name, value) in [("download_url", &own.download_url), ("offer", &own.proof)] {
            text.extend_from_slice(b",\"");
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(b"\":");
            write(&mut text, value);
        }
        text.extend_from_slice(b",\"poll_after_s\":");
        write(&mut text, &seconds(own.poll_after));
        if let Some(patch) = own.patch {
            text.extend_from_slice(b",\"patch\":");
            write(&mut text, &messages::patches::offer(*patch));
        }
        text.push(b'}');
        text
    }

    /// The fields that are no device's own, without the brace that ends them.
    fn common(&self, catalog: &Arc<Catalog>, offer: &Offer<'_>, protocol: u32) -> Arc<[u8]> {
        let key = Key {
            rollout: offer.rollout.id,
            build: offer.build.id,
            signer: offer.signer,
            forced: offer.forced,
            knows_terms: protocol >= TERMS_SINCE_PROTOCOL,
        };
        let mut prepared = self.0.own().lock().unwrap_or_else(PoisonError::into_inner);
        if !std::ptr::eq(prepared.catalog.as_ptr(), Arc::as_ptr(catalog)) {
            *prepared = Prepared {
                catalog: Arc::downgrade(catalog),
                texts: HashMap::new(),
            };
        }
        let text = prepared
            .texts
            .entry(key)
            .or_insert_with(|| common(offer, protocol));
        Arc::clone(text)
    }
}

fn common(offer: &Offer<'_>, protocol: u32) -> Arc<[u8]> {
    let nobody = Own {
        download_url: String::new(),
        proof: String::new(),
        retry_granted_at: None,
        install_openings: None,
        patch: None,
        poll_after: Duration::ZERO,
    };
    let mut manifest = serde_json::to_value(whole(offer, protocol, nobody)).unwrap_or_default();
    if let Value::Object(fields) = &mut manifest {
        for own in ["download_url", "offer", "poll_after_s"] {
            fields.remove(own);
        }
    }
    let mut text = json(&manifest);
    text.pop();
    text.into()
}

/// The whole message.
fn whole(offer: &Offer<'_>, protocol: u32, own: Own) -> v1::UpdateManifest {
    let (spec, facts) = (&offer.rollout.spec, &offer.build.facts);
    // Earlier agents know nothing of these terms.
    let terms = (protocol >= TERMS_SINCE_PROTOCOL).then_some(&spec.settings.install);
    v1::UpdateManifest {
        build_id: offer.build.id.0,
        version_code: facts.version_code.get(),
        version_name: facts.version_name.clone(),
        package_name: facts.package.to_string(),
        download_url: own.download_url,
        sha256: facts.sha256.to_string(),
        signer_fingerprint: offer.signer.to_string(),
        file_size: i64::try_from(facts.size).unwrap_or(i64::MAX),
        wifi_only: spec.settings.wifi_only,
        must_install: spec.settings.must_install,
        staged_rollout_percent: shown_percent(offer),
        release_notes: offer.build.provenance.notes.clone(),
        force_downgrade: offer.forced,
        rollout_id: offer.rollout.id.0,
        attempt: spec.retry_generation.into(),
        min_sdk: facts.min_sdk.into(),
        poll_after_s: seconds(own.poll_after),
        offer: own.proof,
        protocol: PROTOCOL,
        retry_granted_at: own.retry_granted_at.map(Into::into),
        install_openings: own.install_openings.map(|openings| v1::InstallOpenings {
            openings: openings.into_iter().map(verbs::calendars::opening).collect(),
        }),
        install_when: terms.map(messages::install_when).unwrap_or_default(),
        install_deadline: terms.and_then(|terms| terms.deadline).map(Into::into),
        patch: own.patch.map(|patch| messages::patches::offer(*patch)),
    }
}

/// The share as agents of protocol 1 may judge it once more by themselves, which a forced roll-back doesn't heed.
fn shown_percent(offer: &Offer<'_>) -> i64 {
    match offer.forced {
        true => 100,
        false => offer.rollout.spec.settings.staged_percent().into(),
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    let mut text = Vec::new();
    write(&mut text, value);
    text
}

/// Texts and numbers can always be written into memory.
fn write(text: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    let written = serde_json::to_writer(text, value);
    debug_assert!(written.is_ok());
}
