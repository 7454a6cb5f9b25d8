//! The books of patches, at the end of a run.

use tokio::time::Instant;

use super::Run;
use super::balance::{ASK_EVERY, WRITING};
use crate::Error;
use crate::patch_books::{PatchBooks, PatchCounts, told_by_server};

impl Run<'_> {
    /// What came as patches, beside what the server counts once it has written it. Nothing where no device takes patches.
    pub(super) async fn patch_books(&self) -> Result<Option<PatchBooks>, Error> {
        if self.plan.population.patches.share == 0.0 {
            return Ok(None);
        }
        let begun = Instant::now();
        loop {
            let server = self.patches_counted().await?;
            let traffic = &self.fleet.commons.traffic;
            let books = PatchBooks::new(traffic, self.patches_said(), server);
            if books.hold() || begun.elapsed() > WRITING {
                return Ok(Some(books));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    fn patches_said(&self) -> PatchCounts {
        let build = self.build.build_id;
        let devices = self.fleet.devices().map(|device| {
            device.with_record(|record| (record.patches.clone(), record.downloaded_from(build)))
        });
        PatchCounts::of(build, devices)
    }

    /// What the server counted since the fleet came, if it tells of patches.
    async fn patches_counted(&self) -> Result<Option<PatchCounts>, Error> {
        let build = self.build.build_id;
        let now = told_by_server(&self.fleet.operator().patches(build).await?);
        let before = self.before.get(&build).map(|before| before.patches.clone());
        Ok(now.map(|now| now.since(&before.unwrap_or_default())))
    }
}
