//! From which versions devices can be led to a package's builds.

use tidegate_domain::{PackageName, PatchReach};

use crate::store::run;
use crate::{Error, Store};

impl Store {
    /// Of each build that the package's rollouts lead devices to: how many of the fleet's devices run each older version
    /// and can be led to it, see [`tidegate_domain::patch_targets`]. They are judged by what their next poll would be
    /// judged by. Of a fleet of more than `most` devices every second, third, … one is asked, and counts for as many.
    ///
    /// The fleet is read page by page, in one snapshot: for whoever has time.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn patch_reach(&self, package: &PackageName, most: u64) -> Result<PatchReach, Error> {
        let package = package.clone();
        run!(self, snapshot, patch_reach::take(&package, most))
    }
}
