//! The log line of a campaign that is completed.

use tidegate_storage::Campaign;

/// Logs a campaign's results. Called by whoever completed it in the database, so once for each campaign.
pub(crate) fn log_completed(campaign: &Campaign) {
    tracing::info!(
        event = "ota.nudge.sent",
        actor = campaign.created_by,
        campaign_id = campaign.id.0,
        failed_count = campaign.progress.failed,
        priority = %campaign.priority,
        request_id = campaign.request_id,
        success_count = campaign.progress.sent,
        total = campaign.progress.total,
    );
}
