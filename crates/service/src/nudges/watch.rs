//! Following a campaign.

use tidegate_domain::CampaignId;
use tidegate_storage::{Campaign, Store};
use tokio::sync::OwnedSemaphorePermit;

use super::WATCHED_EVERY;
use crate::Error;

/// A campaign that somebody watches. It is read from the database at an interval, so that the work of every replica
/// shows, and told only when it has changed.
pub struct CampaignWatch {
    store: Store,
    id: CampaignId,
    last: Option<Campaign>,
    _place: OwnedSemaphorePermit,
}

impl CampaignWatch {
    pub(super) fn new(store: Store, id: CampaignId, place: OwnedSemaphorePermit) -> Self {
        Self {
            store,
            id,
            last: None,
            _place: place,
        }
    }

    /// The campaign as it stands; afterwards, the campaign when it has changed; `None` when its end was told.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn next(&mut self) -> Result<Option<Campaign>, Error> {
        if self.last.as_ref().is_some_and(|last| last.ended_at.is_some()) {
            return Ok(None);
        }
        loop {
            if self.last.is_some() {
                tokio::time::sleep(WATCHED_EVERY).await;
            }
            let campaign = self.store.campaign(self.id).await?;
            if self.last.as_ref() != Some(&campaign) {
                self.last = Some(campaign.clone());
                return Ok(Some(campaign));
            }
        }
    }
}
