//! What FCM's refusal means for a delivery.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::DeliveryFailure;
use tidegate_fcm::{Decision, Error};
use tidegate_storage::{Claim, DeliveryOutcome};

use super::SenderSettings;

/// What a refusal is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This delivery alone: its outcome.
    Delivery(DeliveryOutcome),
    /// Every delivery: why the campaign has to be suspended.
    Campaign(String),
}

/// Judges a refusal. `random`, from 0 to 1, spreads the wait before the next try.
pub(super) fn of(
    error: &Error,
    claim: &Claim,
    settings: &SenderSettings,
    now: DateTime<Utc>,
    random: f64,
) -> Verdict {
    let result = match error.what_to_do() {
        Decision::ForgetToken => DeliveryOutcome::Failed {
            reason: reason(error),
            forget: Some(claim.fcm_token.clone()),
        },
        Decision::Drop => failed(error),
        Decision::Retry { after } => {
            let wait = settings.backoff.wait(claim.attempt, after, random);
            let at = now + TimeDelta::from_std(wait).unwrap_or(settings.give_up_after);
            if at > claim.first_claimed_at + settings.give_up_after {
                failed(error)
            } else {
                DeliveryOutcome::Retry { at }
            }
        }
        Decision::RefreshTokenOnce | Decision::Stop => return Verdict::Campaign(error.to_string()),
    };
    Verdict::Delivery(result)
}

fn failed(error: &Error) -> DeliveryOutcome {
    DeliveryOutcome::Failed {
        reason: reason(error),
        forget: None,
    }
}

fn reason(error: &Error) -> DeliveryFailure {
    match error {
        Error::Unregistered => DeliveryFailure::Unregistered,
        Error::InvalidArgument(_) => DeliveryFailure::InvalidArgument,
        Error::SenderIdMismatch => DeliveryFailure::SenderIdMismatch,
        Error::ThirdPartyAuth => DeliveryFailure::ThirdPartyAuth,
        Error::Message(_) => DeliveryFailure::Unsendable,
        Error::QuotaExceeded { .. } => DeliveryFailure::QuotaExceeded,
        Error::PermissionDenied(_) => DeliveryFailure::PermissionDenied,
        Error::WrongProject { .. } => DeliveryFailure::WrongProject,
        Error::Unauthorized | Error::FreshTokenRefused | Error::SignInRefused { .. } | Error::Account(_) => {
            DeliveryFailure::CredentialsRefused
        }
        Error::Unavailable { .. }
        | Error::Internal { .. }
        | Error::Timeout(_)
        | Error::Connection(_)
        | Error::Unexpected { .. }
        | Error::Address(_) => DeliveryFailure::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_domain::DeviceId;

    use super::*;

    fn claim(attempt: u32, tried_for: TimeDelta) -> Claim {
        Claim {
            device: DeviceId::parse("d").expect("an id"),
            fcm_token: "t".to_owned(),
            command_generation: 1,
            attempt,
            first_claimed_at: noon() - tried_for,
        }
    }

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_435_200, 0).expect("a time")
    }

    fn judge(error: &Error, claim: &Claim) -> Verdict {
        of(error, claim, &SenderSettings::default(), noon(), 0.5)
    }

    #[test]
    fn only_unregistered_forgets_and_only_the_common_faults_suspend_the_campaign() {
        let all = [
            Error::Unregistered,
            Error::InvalidArgument(String::new()),
            Error::SenderIdMismatch,
            Error::ThirdPartyAuth,
            Error::PermissionDenied(String::new()),
            Error::WrongProject {
                project: "p".to_owned(),
            },
            Error::FreshTokenRefused,
            Error::Timeout(Duration::from_secs(10)),
        ];
        let verdicts: Vec<Verdict> = all
            .iter()
            .map(|error| judge(error, &claim(1, TimeDelta::zero())))
            .collect();
        let forgets = |verdict: &Verdict| {
            matches!(
                verdict,
                Verdict::Delivery(DeliveryOutcome::Failed { forget: Some(_), .. })
            )
        };
        assert_eq!(verdicts.iter().filter(|verdict| forgets(verdict)).count(), 1);
        assert!(forgets(&verdicts[0]));
        let suspends: Vec<bool> = verdicts
            .iter()
            .map(|verdict| matches!(verdict, Verdict::Campaign(_)))
            .collect();
        assert_eq!(suspends, [false, false, false, false, true, true, true, false]);
    }

    #[test]
    fn a_delivery_is_tried_later_and_for_an_hour() {
        let quota = Error::QuotaExceeded {
            retry_after: Some(Duration::from_secs(120)),
        };
        let later = judge(&quota, &claim(1, TimeDelta::zero()));
        // 120 s as asked for, and half of the jitter's ten.
        let at = noon() + TimeDelta::seconds(125);
        assert_eq!(later, Verdict::Delivery(DeliveryOutcome::Retry { at }));
        let last = judge(&quota, &claim(9, TimeDelta::minutes(59)));
        let gave_up = DeliveryOutcome::Failed {
            reason: DeliveryFailure::QuotaExceeded,
            forget: None,
        };
        assert_eq!(last, Verdict::Delivery(gave_up));
    }
}
