//! Random numbers that do not depend on how many were drawn before.
//!
//! With a usual generator, one request more, made because the server was away for a moment, would change all numbers that
//! a device draws later. Here each number is a hash of the seed, the device, the kind of question and what the question is
//! about. The same question has the same answer, in whatever order devices come to run.

use sha2::{Digest, Sha256};

/// The random numbers of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRng {
    seed: u64,
    device: u64,
}

/// What a number is drawn for. Each has numbers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Model,
    Sdk,
    Region,
    Network,
    Routine,
    FirstStart,
    ClockSkew,
    Battery,
    Offline,
    OfflineStart,
    OfflineLength,
    Call,
    FullDisk,
    WrongSigner,
    Failure,
    Corruption,
    Cut,
    Fault,
    FaultKind,
    Latency,
    Tag,
    OlderAgent,
    NoZone,
    Dense,
    Brick,
    CrashLoop,
    Patches,
    ForeignBase,
    PatchDamage,
}

impl DeviceRng {
    /// The numbers of the device with this number in the fleet of this seed.
    pub fn new(seed: u64, device: u64) -> Self {
        Self { seed, device }
    }

    /// 64 bits that are the same whenever the same is asked.
    pub(crate) fn bits(self, question: Question, about: &[u64]) -> u64 {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_be_bytes());
        hash.update(self.device.to_be_bytes());
        hash.update([question as u8]);
        for part in about {
            hash.update(part.to_be_bytes());
        }
        let mut word = [0; 8];
        word.copy_from_slice(&hash.finalize()[..8]);
        u64::from_be_bytes(word)
    }

    /// A number from 0 to below 1, all equally likely.
    pub(crate) fn fraction(self, question: Question, about: &[u64]) -> f64 {
        // 53 bits are what a double holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let fraction = (self.bits(question, about) >> 11) as f64 / (1_u64 << 53) as f64;
        fraction
    }

    /// Whether something happens that happens with this probability.
    pub(crate) fn happens(self, probability: f64, question: Question, about: &[u64]) -> bool {
        self.fraction(question, about) < probability
    }

    /// A number between the two.
    pub(crate) fn between(self, range: [f64; 2], question: Question, about: &[u64]) -> f64 {
        range[0] + (range[1] - range[0]) * self.fraction(question, about)
    }

    /// One of the rows, each as likely as its share says; `None` when there is none.
    pub(crate) fn pick<T>(self, rows: &[T], share: impl Fn(&T) -> f64, question: Question) -> Option<&T> {
        let total: f64 = rows.iter().map(&share).sum();
        let mut left = self.fraction(question, &[]) * total;
        for row in rows {
            left -= share(row);
            if left < 0.0 {
                return Some(row);
            }
        }
        // Reached when rounding leaves a little over.
        rows.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_question_has_the_same_answer_and_another_has_another() {
        let rng = DeviceRng::new(1, 7);
        let answer = rng.bits(Question::Cut, &[3, 4]);
        assert_eq!(answer, DeviceRng::new(1, 7).bits(Question::Cut, &[3, 4]));
        for other in [
            DeviceRng::new(2, 7).bits(Question::Cut, &[3, 4]),
            DeviceRng::new(1, 8).bits(Question::Cut, &[3, 4]),
            rng.bits(Question::Corruption, &[3, 4]),
            rng.bits(Question::Cut, &[4, 3]),
        ] {
            assert_ne!(answer, other);
        }
    }

    #[test]
    fn what_happens_to_one_in_ten_happens_to_about_one_in_ten() {
        let struck = (0..10_000)
            .filter(|device| DeviceRng::new(5, *device).happens(0.1, Question::Offline, &[0]))
            .count();
        assert!((900..1_100).contains(&struck), "{struck}");
        let never = (0..1_000).any(|device| DeviceRng::new(5, device).happens(0.0, Question::Offline, &[0]));
        assert!(!never);
    }

    #[test]
    fn rows_are_picked_as_their_shares_say() {
        let rows = [("rare", 1.0), ("never", 0.0), ("common", 3.0)];
        let picked: Vec<&str> = (0..10_000)
            .filter_map(|device| DeviceRng::new(9, device).pick(&rows, |row| row.1, Question::Model))
            .map(|row| row.0)
            .collect();
        let rare = picked.iter().filter(|name| **name == "rare").count();
        assert!((2_300..2_700).contains(&rare), "{rare}");
        assert!(!picked.contains(&"never"));
    }
}
