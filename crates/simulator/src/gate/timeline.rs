//! What happens in one run, in the order of its times.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_agent::domain::gate::{Arm, Member, Patience, lost_at};

use crate::gate::chance::Chance;
use crate::gate::phone::{HOUR, Installation, Phone, Seconds};
use crate::gate::population::{Population, Step};

/// How often silence and crashes are looked for, in seconds.
const LOOK: u32 = 60;

/// The shape of what makes phones crash more or less often: few phones have most crashes.
const FRAILTY: f64 = 0.3;

/// The longest step, in hours: a step has a stratum for each.
pub(crate) const MAX_HOURS: u16 = 24 * 7;

/// A comparison of two arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Compared {
    Short,
    Long,
    Crashing,
}

/// What becomes of a treated device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    Reached,
    Begun,
    Sent,
    Corrupt,
    Trouble,
    Failed,
    Confirmed,
}

/// Something that happens, in the order within one second in which it is looked at: the look's events before those who
/// enter with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// Something befell a device of a comparison.
    Befell {
        what: Compared,
        stratum: u16,
        is_treated: bool,
    },
    /// A device enters its arm.
    Enters { stratum: u16, is_treated: bool },
    /// A treated device's outcome.
    Outcome { step: u16, device: u32, told: Told },
}

/// One run's events, and the polls of those without the build.
pub(crate) struct Timeline {
    /// By time, in seconds.
    pub events: Vec<(u32, Event)>,
    /// By hour, polls of control that were expected.
    pub polls_expected: Vec<f64>,
    /// By hour, those that came.
    pub polls_seen: Vec<u64>,
}

impl Timeline {
    pub(crate) fn draw(population: &Population, chance: &mut Chance) -> Self {
        let hours = population.hours();
        let mut timeline = Self {
            events: Vec::new(),
            polls_expected: vec![0.0; whole(hours.ceil()) as usize],
            polls_seen: vec![0; whole(hours.ceil()) as usize],
        };
        for (number, step) in (0_u16..).zip(&population.steps) {
            let from = population.step_hours * HOUR * f64::from(number);
            let span = Span {
                population,
                number,
                from,
                end: from + population.step_hours * HOUR,
                last: hours * HOUR,
            };
            span.draw(step, chance, &mut timeline);
        }
        timeline.events.sort_unstable();
        timeline
    }

    fn push(&mut self, at: Seconds, last: Seconds, event: Event) {
        if at < last {
            self.events.push((whole(at), event));
        }
    }
}

/// A step's time.
struct Span<'a> {
    population: &'a Population,
    number: u16,
    from: Seconds,
    /// When its control leaves, since the next step begins: from here on nothing is compared.
    end: Seconds,
    /// When the run ends.
    last: Seconds,
}

impl Span<'_> {
    fn draw(&self, step: &Step, chance: &mut Chance, timeline: &mut Timeline) {
        let mut polls = Vec::new();
        let mut left_to_fail = step.failing * f64::from(step.treated);
        for device in 0..step.treated + step.control {
            let is_treated = device < step.treated;
            let mut phone = Phone::draw(self.population, chance);
            let population = self.population;
            let entered = phone.enters(
                population.entry,
                is_treated,
                self.from,
                population.missing,
                chance,
            );
            if entered >= self.end {
                continue;
            }
            phone.polls(entered, self.end, chance, &mut polls);
            let mut heard = polls.clone();
            if is_treated {
                let fails = match population.fixed_part {
                    true => chance.happens(left_to_fail / f64::from(step.treated - device)),
                    false => chance.happens(step.failing),
                };
                left_to_fail -= f64::from(u8::from(fails));
                let installation = Installation::draw(population, fails, entered, chance);
                self.install(device, &installation, &mut polls, &mut heard, chance, timeline);
            } else {
                self.count_polls(&phone, entered, &polls, timeline);
            }
            self.watch(is_treated, entered, &heard, &polls, chance, timeline);
        }
    }

    /// Tells what becomes of the installation, and what is heard of the phone beside its polls.
    fn install(
        &self,
        device: u32,
        installation: &Installation,
        polls: &mut Vec<Seconds>,
        heard: &mut Vec<Seconds>,
        chance: &mut Chance,
        timeline: &mut Timeline,
    ) {
        let population = self.population;
        let installed = installation.installed;
        let is_bricked = installed.is_finite() && chance.happens(population.bricked);
        if is_bricked {
            polls.retain(|poll| *poll < installed);
            heard.retain(|heard| *heard < installed);
        } else if population.polls_on_restart && installed < self.end {
            polls.push(installed + chance.between(30.0, 120.0));
            polls.sort_unstable_by(f64::total_cmp);
            heard.push(installed + chance.between(30.0, 120.0));
        }
        // Bytes of a long download are heard.
        let mut byte = installation.begun;
        while byte < installation.sent.min(self.end) {
            heard.push(byte);
            byte += 600.0;
        }
        heard.extend([installation.sent, installation.failed, installation.trouble]);
        if !is_bricked {
            heard.push(installed);
        }
        heard.retain(|heard| *heard < self.end);
        heard.sort_unstable_by(f64::total_cmp);
        let next_poll = polls.iter().find(|poll| **poll > installed).copied();
        let confirmed = match is_bricked {
            true => Seconds::INFINITY,
            // Beyond the step's end it polls as before.
            false => next_poll.unwrap_or(installed + 4.0 * HOUR),
        };
        self.tell(device, installation, confirmed, timeline);
    }

    fn tell(&self, device: u32, installation: &Installation, confirmed: Seconds, timeline: &mut Timeline) {
        // With the order of reports, which is wrong, a device has its number when its outcome is told.
        let told = installation.failed.min(confirmed);
        let sent = match self.population.counted_by_reports {
            true => told,
            false => installation.sent,
        };
        let outcomes = [
            (installation.begun, Told::Reached),
            (installation.begun, Told::Begun),
            (sent, Told::Sent),
            (installation.corrupt, Told::Corrupt),
            (installation.trouble, Told::Trouble),
            (installation.failed, Told::Failed),
            (confirmed, Told::Confirmed),
        ];
        for (at, told) in outcomes {
            let event = Event::Outcome {
                step: self.number,
                device,
                told,
            };
            timeline.push(at, self.last, event);
        }
    }

    fn count_polls(&self, phone: &Phone, entered: Seconds, polls: &[Seconds], timeline: &mut Timeline) {
        for poll in polls {
            if let Some(seen) = timeline.polls_seen.get_mut(whole(poll / HOUR) as usize) {
                *seen += 1;
            }
        }
        for (hour, expected) in (0_u32..).zip(&mut timeline.polls_expected) {
            let begins = f64::from(hour) * HOUR;
            if begins >= entered && begins < self.end {
                *expected += phone.polls_expected(begins - entered);
            }
        }
    }

    /// Enters the phone into its arm, and finds when it counts as lost and when its first crash is told.
    fn watch(
        &self,
        is_treated: bool,
        entered: Seconds,
        heard: &[Seconds],
        polls: &[Seconds],
        chance: &mut Chance,
        timeline: &mut Timeline,
    ) {
        let stratum = self.stratum(is_treated, entered);
        timeline.push(entered, self.end, Event::Enters { stratum, is_treated });
        for (patience, what) in [
            (Patience::Short, Compared::Short),
            (Patience::Long, Compared::Long),
        ] {
            let lost = self.lost(entered, heard, patience);
            let event = Event::Befell {
                what,
                stratum,
                is_treated,
            };
            timeline.push(look_after(lost), self.end, event);
        }
        let Some(crashes) = self.population.crashes else {
            return;
        };
        let ratio = if is_treated { crashes.ratio } else { 1.0 };
        let a_day = chance.gamma(FRAILTY) * crashes.per_day * ratio;
        let crash = entered + chance.exponential(24.0 * HOUR / a_day.max(f64::MIN_POSITIVE));
        let told = match self.population.polls_on_restart {
            true => crash + chance.between(30.0, 120.0),
            false => polls
                .iter()
                .find(|poll| **poll >= crash)
                .copied()
                .unwrap_or(Seconds::INFINITY),
        };
        let event = Event::Befell {
            what: Compared::Crashing,
            stratum,
            is_treated,
        };
        timeline.push(look_after(told), self.end, event);
    }

    /// The number of its stratum: each step has one for each hour.
    fn stratum(&self, is_treated: bool, entered: Seconds) -> u16 {
        let member = Member {
            arm: if is_treated { Arm::Treated } else { Arm::Control },
            step: self.number,
            entered: time(entered),
            nudged: false,
        };
        let stratum = member.stratum();
        stratum.step * MAX_HOURS
            + u16::try_from(stratum.hour)
                .unwrap_or(MAX_HOURS - 1)
                .min(MAX_HOURS - 1)
    }

    /// When it first counts as lost; infinite where it never does before the step ends.
    fn lost(&self, entered: Seconds, heard: &[Seconds], patience: Patience) -> Seconds {
        let mut last = entered;
        for next in heard.iter().copied().chain([self.end]) {
            // Nothing counts as lost sooner, and most gaps are shorter.
            if next - last >= 5_400.0 {
                let lost = seconds(lost_at(time(entered), time(last), true, patience));
                if lost < next {
                    return lost;
                }
            }
            last = next;
        }
        Seconds::INFINITY
    }
}

/// The look that finds what has happened by then.
fn look_after(at: Seconds) -> Seconds {
    (at / f64::from(LOOK)).ceil() * f64::from(LOOK)
}

fn time(at: Seconds) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(i64::from(whole(at)))
}

fn seconds(at: DateTime<Utc>) -> Seconds {
    f64::from(u32::try_from(at.timestamp()).unwrap_or(u32::MAX))
}

/// Without its fraction; a run is far shorter than what fits.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast saturates, and times are not negative"
)]
pub(crate) fn whole(at: f64) -> u32 {
    at as u32
}
