//! What is fetched: the file of an update, or a patch that leads to it.

use tidegate_domain::{Sha256, UpdateNeeds};

use crate::patch_offer::PatchOffer;
use crate::protocol::Manifest;

/// One of the two ways to an update's file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub url: String,
    pub size: u64,
    pub sha256: Sha256,
    /// Nothing for the file itself.
    pub patch: Option<PatchWay>,
}

/// What a patch is applied to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PatchWay {
    pub from_sha256: Sha256,
    /// How many bytes the scratch file may have.
    pub scratch: u64,
}

impl Target {
    pub(crate) fn whole_file(job: &Manifest) -> Self {
        Self {
            url: job.download_url.clone(),
            size: job.file_size,
            sha256: job.sha256,
            patch: None,
        }
    }

    pub(crate) fn patch(offer: &PatchOffer, scratch: u64) -> Self {
        Self {
            url: offer.url.clone(),
            size: offer.size,
            sha256: offer.sha256,
            patch: Some(PatchWay {
                from_sha256: offer.from_sha256,
                scratch,
            }),
        }
    }

    /// What the safety rules have to know when `here` bytes of it are here.
    ///
    /// The whole file is copied by Android when it is installed. With a patch, room is needed for the patch, the scratch file and
    /// the result, and later, when patch and scratch file are gone, for the result and Android's copy.
    pub(crate) fn needs(&self, job: &Manifest, here: u64) -> UpdateNeeds {
        let fetch_bytes = self.size.saturating_sub(here);
        let beside = match &self.patch {
            Some(patch) => job.file_size.max(patch.scratch.saturating_add(fetch_bytes)),
            None => fetch_bytes,
        };
        UpdateNeeds {
            wifi_only: job.wifi_only,
            fetch_bytes,
            space_bytes: beside.saturating_add(job.file_size),
        }
    }
}
