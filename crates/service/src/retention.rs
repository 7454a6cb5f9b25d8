//! Letting go of what is old: reports, campaigns, hourly statistics, the stories of retired devices, members of health gates. And counting devices no
//! longer that have not polled for long.
//!
//! One server at a time does this, by a lease in the database, in small transactions with a pause after each: requests
//! come first.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tidegate_storage::{InactiveCursor, Store};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::counters::RemovedKind;
use crate::{Clock, Counters, Error};

/// How long reports are kept at least. They deduplicate: a device that repeats one later counts again.
pub const MIN_REPORTS_KEPT: Duration = days(90);

/// How long finished campaigns are kept at least: polls and installations count for them for a week.
pub const MIN_CAMPAIGNS_KEPT: Duration = days(14);

/// How long hourly statistics are kept at least: as long as the API tells them.
pub const MIN_STAT_HOURS_KEPT: Duration = days(31);

/// How often a server looks for what is old.
const EVERY: Duration = Duration::from_secs(3_600);

/// How many rows a transaction looks at or removes, of a table.
const ROWS_AT_ONCE: u32 = 1_000;

/// How many devices' stories a transaction removes. Each may have some hundred rows.
const STORIES_AT_ONCE: u32 = 20;

/// The pause after each transaction.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the lease lasts after the last transaction of a server that was killed.
const LEASE: Duration = Duration::from_secs(300);

/// The lease's name.
const NAME: &str = "retention";

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 3_600)
}

/// How long things are kept; `None` for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionSettings {
    /// How long after its last poll a device is counted; `None` always.
    pub inactive_after: Option<Duration>,
    /// Reports, at least [`MIN_REPORTS_KEPT`], and who changed devices' tags.
    pub reports: Option<Duration>,
    /// Finished campaigns with their deliveries, at least [`MIN_CAMPAIGNS_KEPT`].
    pub campaigns: Option<Duration>,
    /// Hourly statistics, at least [`MIN_STAT_HOURS_KEPT`].
    pub stat_hours: Option<Duration>,
    /// What retired devices did, from their retirement on.
    pub retired_stories: Option<Duration>,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            inactive_after: Some(days(90)),
            reports: Some(days(180)),
            campaigns: Some(days(90)),
            stat_hours: Some(days(400)),
            retired_stories: Some(days(90)),
        }
    }
}

/// Removes what is old.
pub struct Retention {
    store: Store,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    settings: RetentionSettings,
    /// The name under which this server holds the lease.
    holder: String,
}

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionPass {
    /// Devices that are no longer counted.
    pub inactive: u64,
    /// Devices that are counted again, because the setting was changed.
    pub active_again: u64,
    /// Reports that were removed.
    pub reports: u64,
    /// Rows of finished campaigns that were removed.
    pub campaigns: u64,
    /// Rows of hourly statistics that were removed.
    pub stat_hours: u64,
    /// Retired devices whose stories were removed.
    pub stories: u64,
    /// Members of health gates that nobody watches any more.
    pub gate_members: u64,
    /// Changes of devices' tags that were removed.
    pub tag_changes: u64,
}

impl Retention {
    /// Over this database.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
        settings: RetentionSettings,
    ) -> Self {
        Self {
            store,
            clock,
            counters,
            settings,
            holder: uuid::Uuid::new_v4().to_string(),
        }
    }

    /// Makes a pass at once and each hour until `stop` is canceled.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let passes = async {
            loop {
                ticks.tick().await;
                if let Err(error) = self.pass().await {
                    tracing::warn!(%error, "what is old could not be removed, and is with the next pass");
                }
            }
        };
        let _: Option<()> = stop.run_until_cancelled(passes).await;
    }

    /// Removes what is old now. `None` when another server is at it.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`]; what was removed until then is.
    pub async fn pass(&self) -> Result<Option<RetentionPass>, Error> {
        if !self.has_lease().await? {
            return Ok(None);
        }
        let now = self.clock.now();
        let mut done = RetentionPass::default();
        self.count_active(now, &mut done).await?;
        self.remove_reports(now, &mut done).await?;
        self.remove_batches(now, &mut done).await?;
        self.store.give_lease_back(NAME, &self.holder).await?;
        self.counters.retention_ran(now);
        if done != RetentionPass::default() {
            tracing::info!(
                event = "ota.retention",
                inactive = done.inactive,
                active_again = done.active_again,
                reports = done.reports,
                campaigns = done.campaigns,
                stat_hours = done.stat_hours,
                stories = done.stories,
                gate_members = done.gate_members,
                tag_changes = done.tag_changes,
            );
        }
        Ok(Some(done))
    }

    async fn has_lease(&self) -> Result<bool, Error> {
        Ok(self.store.take_lease(NAME, &self.holder, LEASE).await?)
    }

    /// Makes way for requests, and then whether there is something left to be done here: not when another server took
    /// over from one that was too slow.
    async fn goes_on(&self) -> Result<bool, Error> {
        tokio::time::sleep(PAUSE).await;
        self.has_lease().await
    }

    async fn count_active(&self, now: DateTime<Utc>, done: &mut RetentionPass) -> Result<(), Error> {
        let since = before(now, self.settings.inactive_after);
        loop {
            let active = self.store.unmark_inactive(since, ROWS_AT_ONCE).await?;
            done.active_again += active;
            if active == 0 || !self.goes_on().await? {
                break;
            }
        }
        let (Some(since), mut next) = (since, Some(InactiveCursor::default())) else {
            return Ok(());
        };
        while let Some(after) = next {
            let marked = self.store.mark_inactive(since, now, after, ROWS_AT_ONCE).await?;
            done.inactive += marked.devices;
            next = marked.next;
            if next.is_some() && !self.goes_on().await? {
                break;
            }
        }
        Ok(())
    }

    async fn remove_reports(&self, now: DateTime<Utc>, done: &mut RetentionPass) -> Result<(), Error> {
        let Some(before) = before(now, self.settings.reports) else {
            return Ok(());
        };
        let mut next = Some(0);
        while let Some(after) = next {
            let removed = self.store.remove_reports(before, after, ROWS_AT_ONCE).await?;
            done.reports += removed.rows;
            self.counters.removed(RemovedKind::Reports, removed.rows);
            next = removed.next;
            if next.is_some() && !self.goes_on().await? {
                break;
            }
        }
        Ok(())
    }

    async fn remove_batches(&self, now: DateTime<Utc>, done: &mut RetentionPass) -> Result<(), Error> {
        let RetentionSettings {
            reports,
            campaigns,
            stat_hours,
            retired_stories,
            ..
        } = self.settings;
        let store = &self.store;
        if let Some(before) = before(now, reports) {
            let batch = || store.remove_tag_changes(before, ROWS_AT_ONCE);
            done.tag_changes = self.until_none(RemovedKind::TagChanges, batch).await?;
        }
        if let Some(before) = before(now, campaigns) {
            let batch = || store.remove_campaigns(before, ROWS_AT_ONCE);
            done.campaigns = self.until_none(RemovedKind::Campaigns, batch).await?;
        }
        if let Some(before) = before(now, stat_hours) {
            let batch = || store.remove_stat_hours(before, ROWS_AT_ONCE);
            done.stat_hours = self.until_none(RemovedKind::StatHours, batch).await?;
        }
        if let Some(before) = before(now, retired_stories) {
            let batch = || store.remove_stories(before, STORIES_AT_ONCE);
            done.stories = self.until_none(RemovedKind::Stories, batch).await?;
        }
        let batch = || store.remove_gate_members(now, ROWS_AT_ONCE);
        done.gate_members = self.until_none(RemovedKind::GateMembers, batch).await?;
        Ok(())
    }

    /// Removes batch after batch until one is empty.
    async fn until_none<F>(&self, kind: RemovedKind, batch: impl Fn() -> F) -> Result<u64, Error>
    where
        F: Future<Output = Result<u64, tidegate_storage::Error>>,
    {
        let mut sum = 0;
        loop {
            let removed = batch().await?;
            sum += removed;
            self.counters.removed(kind, removed);
            if removed == 0 || !self.goes_on().await? {
                return Ok(sum);
            }
        }
    }
}

/// The moment that is so long ago; `None` for ever.
fn before(now: DateTime<Utc>, kept: Option<Duration>) -> Option<DateTime<Utc>> {
    now.checked_sub_signed(chrono::TimeDelta::from_std(kept?).ok()?)
}
