//! Who may enrol a device id that the server knows already.
//!
//! An enrolment hands out the credential of a device, and an enrolment token is known to many. So a token alone must never
//! give what another device was given: the answer is repeated only to the one who can prove to have got it, and
//! whoever else names the id *takes it over*, which somebody has to have allowed.

use chrono::{DateTime, TimeDelta, Utc};

/// How long an enrolment without a key may be repeated with the same token, as long as the device token that it gave was
/// not used: its answer may have been lost.
pub const LOST_ANSWER_WINDOW: TimeDelta = TimeDelta::hours(1);

/// A known device, as far as an enrolment of its id is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownDevice {
    /// Whether it has enrolled here. Only one that was imported may not have.
    pub has_enrolled: bool,
    /// Whether its credential was revoked since it enrolled.
    pub is_revoked: bool,
    /// Whether it was taken out of the fleet: its credential has ended, and an enrolment token brings it back that is not
    /// the one of its last enrolment, which the device may still have.
    pub is_retired: bool,
    /// Whether it was imported with a token of its previous server, which it has to prove.
    pub has_previous_token: bool,
    /// Whether its last enrolment brought an enrolment key.
    pub has_key: bool,
    /// When it enrolled last.
    pub enrolled_at: DateTime<Utc>,
    /// Whether the device token of its last enrolment was used.
    pub is_token_used: bool,
    /// Until when an operator lets it enrol again.
    pub allowed_until: Option<DateTime<Utc>>,
}

/// With what somebody asks to enrol a known id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrolmentProof {
    /// An enrolment token that holds.
    Token {
        /// Whether it takes known ids over.
        allows_known: bool,
        /// Whether the device's last enrolment was with this one.
        is_the_last: bool,
    },
    /// The token of the previous server, which was found to be the right one.
    PreviousToken,
    /// Nothing but the enrolment key.
    KeyAlone,
}

/// What is done with an enrolment of a known id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrolmentVerdict {
    /// The answer of the last enrolment is given again.
    Repeat,
    /// It is the first enrolment of a device that was imported.
    First,
    /// A new generation begins, and what was handed out before ends.
    TakeOver,
    /// Nothing is handed out.
    Refuse,
}

impl KnownDevice {
    /// Judges an enrolment of this device's id. `key_matches` says whether it brought the key of the last enrolment.
    pub fn judge(&self, proof: EnrolmentProof, key_matches: bool, now: DateTime<Utc>) -> EnrolmentVerdict {
        if self.has_enrolled && !self.is_revoked && (key_matches || self.may_be_a_lost_answer(proof, now)) {
            return EnrolmentVerdict::Repeat;
        }
        if !self.has_enrolled && !self.is_revoked && self.is_awaited(proof) {
            return EnrolmentVerdict::First;
        }
        match proof {
            EnrolmentProof::Token {
                allows_known,
                is_the_last,
            } if allows_known || self.is_allowed(now) || (self.is_retired && !is_the_last) => {
                EnrolmentVerdict::TakeOver
            }
            _ => EnrolmentVerdict::Refuse,
        }
    }

    /// Whoever has a key repeats with it. Without one there is nothing to tell the device from a stranger with the same
    /// token, so that the time is short and ends with the first use.
    fn may_be_a_lost_answer(&self, proof: EnrolmentProof, now: DateTime<Utc>) -> bool {
        let is_the_last = matches!(
            proof,
            EnrolmentProof::Token {
                is_the_last: true,
                ..
            }
        );
        is_the_last && !self.has_key && !self.is_token_used && now < self.enrolled_at + LOST_ANSWER_WINDOW
    }

    fn is_awaited(&self, proof: EnrolmentProof) -> bool {
        match proof {
            EnrolmentProof::PreviousToken => true,
            EnrolmentProof::Token { .. } => !self.has_previous_token,
            EnrolmentProof::KeyAlone => false,
        }
    }

    fn is_allowed(&self, now: DateTime<Utc>) -> bool {
        self.allowed_until.is_some_and(|until| now < until)
    }
}
