//! The circuit_breaker: a campaign in which many tokens look dead has more likely a wrong configuration than a dead fleet.

use tidegate_domain::DeliveryFailure;
use tidegate_storage::Progress;

/// One in so many deliveries may look dead.
const ONE_IN: u64 = 100;

/// This many may always, or a campaign for a few devices would stop at its first.
const ALWAYS: u64 = 10;

/// What FCM says of tokens that are dead, or of another project, or no tokens.
const DEAD: [DeliveryFailure; 3] = [
    DeliveryFailure::Unregistered,
    DeliveryFailure::SenderIdMismatch,
    DeliveryFailure::InvalidArgument,
];

/// What was known before anything was sent: such devices say nothing of the tokens.
const NEVER_SENT: [DeliveryFailure; 3] = [
    DeliveryFailure::NoFcmToken,
    DeliveryFailure::Revoked,
    DeliveryFailure::UnknownDevice,
];

/// How many deliveries may look dead before the circuit_breaker holds the campaign.
pub(super) fn limit(progress: &Progress) -> u64 {
    (with_token(progress) / ONE_IN).max(ALWAYS)
}

fn with_token(progress: &Progress) -> u64 {
    let without = NEVER_SENT.iter().map(|reason| progress.failed_for(*reason)).sum();
    progress.total.saturating_sub(without)
}

/// How many looked dead so far.
pub(super) fn dead(progress: &Progress) -> u64 {
    DEAD.iter().map(|reason| progress.failed_for(*reason)).sum()
}

/// Whether a failure for this reason counts.
pub(super) fn counts(reason: DeliveryFailure) -> bool {
    DEAD.contains(&reason)
}

/// Whether these last ones brought the campaign over the limit. True once in a campaign's life: an operator who
/// resumes it wants it sent all the same.
pub(super) fn pulled(progress: &Progress, last: u64) -> bool {
    let (dead, limit) = (dead(progress), limit(progress));
    dead > limit && dead.saturating_sub(last) <= limit
}

/// What the campaign shows.
pub(super) fn reason(progress: &Progress) -> String {
    format!(
        "{} of {} tokens look dead to FCM, more than 1 %: is the service account that of the app's own Firebase \
         project? No further tokens are forgotten; resume to go on all the same",
        dead(progress),
        with_token(progress)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(total: u64, unregistered: u64, mismatched: u64) -> Progress {
        Progress {
            total,
            failed_by: vec![
                (DeliveryFailure::Unregistered, unregistered),
                (DeliveryFailure::SenderIdMismatch, mismatched),
                (DeliveryFailure::Unavailable, 5000),
            ],
            ..Progress::default()
        }
    }

    #[test]
    fn the_brake_is_pulled_once_above_one_percent() {
        for (total, unregistered, mismatched, last, is_pulled) in [
            (100_000, 1000, 0, 50, false),
            (100_000, 1001, 0, 1, true),
            (100_000, 900, 101, 50, true),
            (100_000, 1100, 0, 50, false),
            (3, 3, 0, 3, false),
            (500, 10, 0, 1, false),
            (500, 11, 0, 1, true),
        ] {
            let mut progress = progress(total, unregistered, mismatched);
            let pulls = |progress: &Progress| pulled(progress, last);
            assert_eq!(
                pulls(&progress),
                is_pulled,
                "{unregistered} + {mismatched} of {total}"
            );
            // Devices that could never be woken change nothing.
            progress.total += 1_000_000;
            progress.failed_by.push((DeliveryFailure::NoFcmToken, 999_000));
            progress.failed_by.push((DeliveryFailure::Revoked, 1_000));
            assert_eq!(
                pulls(&progress),
                is_pulled,
                "{unregistered} + {mismatched} of {total} and others"
            );
        }
    }
}
