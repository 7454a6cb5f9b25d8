//! One phone: when it can be reached, when it polls, and what becomes of its installation.

use tidegate_agent::domain::RETRY_BUDGET;
use tidegate_agent::domain::gate::{DENSE_INTERVAL, DENSE_PHASE};

use crate::gate::chance::Chance;
use crate::gate::population::{Entry, Failing, Population};

/// Seconds since the rollout began.
pub(crate) type Seconds = f64;

pub(crate) const HOUR: Seconds = 3_600.0;
const MINUTE: Seconds = 60.0;
const DAY: Seconds = 24.0 * HOUR;

/// Later than any run.
const NEVER: Seconds = f64::INFINITY;

/// A phone's habits, the same in both arms.
pub(crate) struct Phone {
    /// How long it waits between its usual polls.
    interval: Seconds,
    /// Its polls lie at this offset.
    phase: Seconds,
    /// It is off for so long from so long after noon on each day; none: never.
    night: Option<[Seconds; 2]>,
    /// When it can't be reached beside.
    absences: Vec<[Seconds; 2]>,
    /// The time of the day at the rollout's begin.
    begins: Seconds,
}

impl Phone {
    pub(crate) fn draw(population: &Population, chance: &mut Chance) -> Self {
        let interval = chance.between(1.0, 6.0) * HOUR;
        let phase = chance.between(0.0, interval);
        let night = chance.happens(population.off_at_night).then(|| {
            let (off, on) = (chance.between(22.0, 24.0), chance.between(30.0, 32.0));
            [off * HOUR, on * HOUR]
        });
        let absences = population
            .absence
            .filter(|absence| chance.happens(absence.share))
            .map(|absence| [absence.from * HOUR, (absence.from + absence.hours) * HOUR]);
        Self {
            interval,
            phase,
            night,
            absences: absences.into_iter().collect(),
            begins: population.begins * HOUR,
        }
    }

    /// When it enters its arm: its first poll of a step that begins at `from`.
    pub(crate) fn enters(
        &mut self,
        entry: Entry,
        is_treated: bool,
        from: Seconds,
        missing: f64,
        chance: &mut Chance,
    ) -> Seconds {
        let entered = match entry {
            Entry::Nudge { minutes } => self.reachable(from + chance.between(0.0, minutes) * MINUTE, chance),
            Entry::Ramp { hours } if is_treated => {
                self.usual_poll(from + chance.between(0.0, hours) * HOUR, chance)
            }
            Entry::Polls | Entry::Ramp { .. } => self.usual_poll(from, chance),
        };
        // Right after their entry, when bricks fall silent too: spread over the dense phase they would be told apart easily.
        if chance.happens(missing) {
            let from = entered + chance.between(0.0, dense_interval());
            let beyond = 4.5 * HOUR / std::f64::consts::LN_2;
            let length = 1.5 * HOUR + chance.exponential(beyond);
            self.absences.push([from, from + length]);
        }
        entered
    }

    /// Its first usual poll from this time on.
    fn usual_poll(&self, from: Seconds, chance: &mut Chance) -> Seconds {
        let rounds = ((from - self.phase) / self.interval).ceil();
        self.reachable(self.phase + rounds * self.interval, chance)
    }

    /// This time, or shortly after it can be reached again.
    fn reachable(&self, at: Seconds, chance: &mut Chance) -> Seconds {
        let mut reachable = at;
        while let Some(until) = self.away_until(reachable) {
            reachable = until + chance.between(0.0, 5.0) * MINUTE;
        }
        reachable
    }

    fn away_until(&self, at: Seconds) -> Option<Seconds> {
        let absent = self
            .absences
            .iter()
            .find(|[from, until]| (*from..*until).contains(&at))
            .map(|[_, until]| *until);
        absent.or_else(|| {
            let [off, on] = self.night?;
            let noon = 12.0 * HOUR;
            let since_noon = (at + self.begins - noon).rem_euclid(DAY);
            let (off, on) = (off - noon, on - noon);
            (off..on).contains(&since_noon).then_some(at + on - since_noon)
        })
    }

    /// Its polls after its entry until `end`: often for three hours, then as usual.
    pub(crate) fn polls(
        &self,
        entered: Seconds,
        end: Seconds,
        chance: &mut Chance,
        polls: &mut Vec<Seconds>,
    ) {
        polls.clear();
        let mut at = entered;
        loop {
            let is_dense = at < entered + dense_phase();
            let wait = if is_dense { dense_interval() } else { self.interval };
            // A device adds a draw of its own of up to a fifth.
            at = self.reachable(at + wait * chance.between(1.0, 1.2), chance);
            if at >= end {
                return;
            }
            polls.push(at);
        }
    }

    /// How many polls it would make in an hour that begins so long after its entry, were it never away.
    pub(crate) fn polls_expected(&self, since_entry: Seconds) -> f64 {
        let is_dense = since_entry < dense_phase();
        HOUR / (if is_dense { dense_interval() } else { self.interval } * 1.1)
    }
}

#[expect(clippy::cast_precision_loss, reason = "three hours are few seconds")]
fn dense_phase() -> Seconds {
    DENSE_PHASE.num_seconds() as f64
}

#[expect(clippy::cast_precision_loss, reason = "half an hour is few seconds")]
fn dense_interval() -> Seconds {
    DENSE_INTERVAL.num_seconds() as f64
}

/// What becomes of a treated phone's installation, and when. What never happens is infinite.
pub(crate) struct Installation {
    pub begun: Seconds,
    pub sent: Seconds,
    pub corrupt: Seconds,
    /// It told a failure that it may try again after.
    pub trouble: Seconds,
    /// It gave up.
    pub failed: Seconds,
    pub installed: Seconds,
}

impl Installation {
    pub(crate) fn draw(population: &Population, fails: bool, entered: Seconds, chance: &mut Chance) -> Self {
        let begun = entered + chance.between(1.0, 30.0);
        let takes = match chance.happens(population.slow) {
            true => chance.between(8.0, 12.0) * HOUR,
            false => chance.between(0.5, 6.0) * MINUTE,
        };
        let sent = begun + takes;
        let corrupt = match chance.happens(population.corrupt) {
            true => sent + chance.between(1.0, 10.0),
            false => NEVER,
        };
        let tried = sent + chance.between(20.0, 120.0);
        let mut installation = Self {
            begun,
            sent,
            corrupt,
            trouble: corrupt,
            failed: NEVER,
            installed: NEVER,
        };
        match (fails, population.failing) {
            (true, Failing::Terminal) => {
                installation.failed = tried;
                installation.trouble = tried;
            }
            (true, Failing::Retries) => {
                installation.trouble = tried;
                installation.failed = (1..RETRY_BUDGET).fold(tried, |at, _| at + retry_after(chance));
            }
            (false, failing) => {
                let again = failing == Failing::Retries && chance.happens(0.1);
                if again {
                    installation.trouble = tried;
                }
                let at = if again { tried + retry_after(chance) } else { tried };
                installation.installed = opening(population, at) + chance.between(30.0, 300.0);
            }
        }
        installation
    }
}

fn retry_after(chance: &mut Chance) -> Seconds {
    chance.between(6.0, 24.0) * HOUR
}

/// The first time from `at` on at which it may install.
fn opening(population: &Population, at: Seconds) -> Seconds {
    let Some([opens, closes]) = population.install_window else {
        return at;
    };
    let length = (closes - opens).rem_euclid(24.0) * HOUR;
    let since_opening = (at + (population.begins - opens) * HOUR).rem_euclid(DAY);
    if since_opening < length {
        at
    } else {
        at + DAY - since_opening
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(night: Option<[Seconds; 2]>) -> Phone {
        Phone {
            interval: 4.0 * HOUR,
            phase: HOUR,
            night,
            absences: vec![[10.0 * HOUR, 20.0 * HOUR]],
            begins: 9.0 * HOUR,
        }
    }

    #[test]
    fn a_phone_polls_often_at_first_then_as_usual_and_not_while_it_is_away() {
        let mut polls = Vec::new();
        let mut chance = Chance::new("test", 1);
        phone(None).polls(HOUR, 60.0 * HOUR, &mut chance, &mut polls);
        let dense = polls.iter().filter(|poll| **poll < 4.0 * HOUR).count();
        assert!((4..=6).contains(&dense), "{polls:?}");
        assert!(!polls.iter().any(|poll| (10.0 * HOUR..20.0 * HOUR).contains(poll)));
        assert!(polls.iter().any(|poll| (20.0 * HOUR..20.1 * HOUR).contains(poll)));
    }

    #[test]
    fn at_night_a_phone_is_off_until_the_morning() {
        let night = Some([23.0 * HOUR, 31.0 * HOUR]);
        // 9:00 is the begin: 23:00 is hour 14, and 7:00 hour 22.
        let phone = phone(night);
        assert_eq!(phone.away_until(9.0 * HOUR), None);
        assert_eq!(phone.away_until(21.0 * HOUR), Some(22.0 * HOUR));
        assert_eq!(phone.away_until(22.0 * HOUR), None);
        assert_eq!(phone.away_until((24.0 + 14.5) * HOUR), Some(46.0 * HOUR));
    }

    #[test]
    fn installations_wait_for_their_window() {
        let mut population = Population::calm(1, 1);
        population.install_window = Some([22.0, 4.0]);
        // 22:00 is hour 13 of a rollout that begins at 9:00.
        assert_eq!(opening(&population, HOUR), 13.0 * HOUR);
        assert_eq!(opening(&population, 14.0 * HOUR), 14.0 * HOUR);
        assert_eq!(opening(&population, 20.0 * HOUR), 37.0 * HOUR);
    }
}
