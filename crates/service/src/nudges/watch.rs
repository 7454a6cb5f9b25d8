//! Following a campaign.

use std::sync::Arc;

use tidegate_domain::CampaignId;
use tidegate_storage::{Campaign, Store};
use tokio::sync::OwnedSemaphorePermit;

use super::WATCHED_EVERY;
use crate::{Clock, Error};

/// A campaign that somebody watches. It is read from the database at an interval, so that the work of every replica
/// shows, and told only when it has changed.
pub struct CampaignWatch {
    store: Store,
    clock: Arc<dyn Clock>,
    id: CampaignId,
    last: Option<(Campaign, Option<u64>)>,
    _place: OwnedSemaphorePermit,
}

impl CampaignWatch {
    pub(super) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        id: CampaignId,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            store,
            clock,
            id,
            last: None,
            _place: place,
        }
    }

    /// The campaign as it stands, with the number of devices that gave no answer; afterwards, the same when one of
    /// them has changed; `None` after its end was told.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn next(&mut self) -> Result<Option<(Campaign, Option<u64>)>, Error> {
        if self
            .last
            .as_ref()
            .is_some_and(|(last, _)| last.ended_at.is_some())
        {
            return Ok(None);
        }
        loop {
            if self.last.is_some() {
                tokio::time::sleep(WATCHED_EVERY).await;
            }
            let campaign = self.store.campaign(self.id).await?;
            let no_answer = campaign.no_answer(self.clock.now());
            let now = Some((campaign, no_answer));
            if self.last != now {
                self.last.clone_from(&now);
                return Ok(now);
            }
        }
    }
}
