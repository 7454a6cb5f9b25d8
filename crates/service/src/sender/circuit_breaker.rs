//! The circuit breaker: it suspends a campaign in which more than 1 % of the tokens look dead. A wrong service account
//! explains that better than so many lost devices do.

use tidegate_domain::DeliveryFailure;
use tidegate_storage::Progress;

/// One delivery in this many may look dead.
const ONE_IN: u64 = 100;

/// This many may look dead in any campaign. Otherwise the first dead token would stop a small one.
const ALWAYS: u64 = 10;

/// FCM's answers for a token that has ended, that belongs to another project, or that is not a token at all.
const DEAD: [DeliveryFailure; 3] = [
    DeliveryFailure::Unregistered,
    DeliveryFailure::SenderIdMismatch,
    DeliveryFailure::InvalidArgument,
];

/// Reasons that were known before anything was sent. They say nothing about tokens.
const NEVER_SENT: [DeliveryFailure; 3] = [
    DeliveryFailure::NoFcmToken,
    DeliveryFailure::Revoked,
    DeliveryFailure::UnknownDevice,
];

/// How many deliveries may look dead before the breaker opens.
pub(super) fn limit(progress: &Progress) -> u64 {
    (with_token(progress) / ONE_IN).max(ALWAYS)
}

fn with_token(progress: &Progress) -> u64 {
    let without = NEVER_SENT.iter().map(|reason| progress.failed_for(*reason)).sum();
    progress.total.saturating_sub(without)
}

/// How many have looked dead so far.
pub(super) fn dead(progress: &Progress) -> u64 {
    DEAD.iter().map(|reason| progress.failed_for(*reason)).sum()
}

/// Whether a failure for this reason counts as a dead token.
pub(super) fn counts(reason: DeliveryFailure) -> bool {
    DEAD.contains(&reason)
}

/// Whether the last failures brought the campaign over the limit. True once in a campaign's life, so that an operator
/// can resume it.
pub(super) fn opens(progress: &Progress, last: u64) -> bool {
    let (dead, limit) = (dead(progress), limit(progress));
    dead > limit && dead.saturating_sub(last) <= limit
}

/// Why the campaign was suspended, for its page.
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
    fn the_breaker_opens_once_above_one_percent() {
        for (total, unregistered, mismatched, last, has_opened) in [
            (100_000, 1000, 0, 50, false),
            (100_000, 1001, 0, 1, true),
            (100_000, 900, 101, 50, true),
            (100_000, 1100, 0, 50, false),
            (3, 3, 0, 3, false),
            (500, 10, 0, 1, false),
            (500, 11, 0, 1, true),
        ] {
            let mut progress = progress(total, unregistered, mismatched);
            let opens = |progress: &Progress| opens(progress, last);
            assert_eq!(
                opens(&progress),
                has_opened,
                "{unregistered} + {mismatched} of {total}"
            );
            // Devices that could never be woken change nothing.
            progress.total += 1_000_000;
            progress.failed_by.push((DeliveryFailure::NoFcmToken, 999_000));
            progress.failed_by.push((DeliveryFailure::Revoked, 1_000));
            assert_eq!(
                opens(&progress),
                has_opened,
                "{unregistered} + {mismatched} of {total} and others"
            );
        }
    }
}
