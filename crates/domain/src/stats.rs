//! Deployment statistics.

use serde::Serialize;

/// Counts for one build, or for what one rollout did with it. All but `total_checks` count distinct devices, so nothing counts twice and no count falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeploymentStats {
    /// Polls for the package while the build was its current one.
    pub total_checks: i64,
    /// Devices that were offered the build.
    pub total_eligible: i64,
    /// Devices that have the whole file, by the server's count of bytes sent or by their own report.
    pub total_downloads: i64,
    /// Devices that reported an installation.
    pub installs_success: i64,
    /// Devices that reported a failed installation, even if a later one succeeded.
    pub installs_failed: i64,
    /// Devices that reported a file that did not verify, even if a later one did.
    pub verify_failed: i64,
}

impl DeploymentStats {
    /// `installs_success / total_eligible × 100`; 0 while nobody was offered the build.
    pub fn adoption_rate(&self) -> f64 {
        if self.total_eligible == 0 {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "device counts stay far below 2^52")]
        let rate = self.installs_success as f64 / self.total_eligible as f64 * 100.0;
        rate
    }
}

impl std::ops::AddAssign for DeploymentStats {
    fn add_assign(&mut self, more: Self) {
        self.total_checks = self.total_checks.saturating_add(more.total_checks);
        self.total_eligible += more.total_eligible;
        self.total_downloads += more.total_downloads;
        self.installs_success += more.installs_success;
        self.installs_failed += more.installs_failed;
        self.verify_failed += more.verify_failed;
    }
}
