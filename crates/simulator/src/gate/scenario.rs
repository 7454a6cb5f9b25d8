//! The cases that a gate must stand: those that it must not halt, and those that it must.

use crate::gate::population::{Absence, Crashes, Entry, Failing, Population, Step};

/// What a scenario asks of its runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// At most 1 % of all runs are halted, by whatever test.
    FalseHalts,
    /// So large a part is halted before more than so many devices of the step have the file.
    HaltsWithinSent { sent: u64, part: f64 },
    /// The median run is halted in this step, before more than so many of its devices have the file.
    MedianSent { step: usize, sent: u64 },
    /// At least so large a part is halted.
    Halts { part: f64 },
    /// Nothing: what is shown is a limit of what can be found.
    Shown,
    /// All are halted, and none is blind at any hour.
    HaltsNeverBlind,
    /// All are blind from this hour to that one, and none is halted.
    Blind { from: usize, to: usize },
    /// At least so large a part may advance, and at most 1 % is halted.
    Advances { part: f64 },
    /// None may advance.
    NeverAdvances,
    /// At most so large a part may advance.
    AdvancesAtMost { part: f64 },
}

/// A named case.
pub(crate) struct Scenario {
    pub name: &'static str,
    /// What it is about, in a line.
    pub about: &'static str,
    pub target: Target,
    pub population: Population,
}

fn scenario(name: &'static str, about: &'static str, target: Target, population: Population) -> Scenario {
    Scenario {
        name,
        about,
        target,
        population,
    }
}

/// All of them, in the order in which they are shown.
pub(crate) fn all() -> Vec<Scenario> {
    [order_of_failures(), arms_alike(), bad_builds(), going_on()]
        .into_iter()
        .flatten()
        .collect()
}

/// Builds exactly at their tolerance, in whatever order their outcomes are told.
fn order_of_failures() -> Vec<Scenario> {
    let usual = Population::at_tolerance(2_000, 10_000);
    let nudged = Population {
        entry: Entry::Nudge { minutes: 20.0 },
        ..usual.clone()
    };
    let windows = Population {
        install_window: Some([22.0, 4.0]),
        ..nudged.clone()
    };
    vec![
        scenario(
            "nudge",
            "2,000 woken at once, terminal failures",
            Target::FalseHalts,
            nudged,
        ),
        scenario(
            "restart-polls",
            "agents poll when they start again, crash-prone phones",
            Target::FalseHalts,
            Population {
                polls_on_restart: true,
                crashes: Some(Crashes {
                    per_day: 0.2,
                    ratio: 1.0,
                }),
                ..usual.clone()
            },
        ),
        scenario(
            "windows",
            "a nudge, installed from 22:00 to 4:00 only",
            Target::FalseHalts,
            windows.clone(),
        ),
        scenario(
            "retries",
            "failing phones try again after 6 to 24 hours",
            Target::FalseHalts,
            Population {
                failing: Failing::Retries,
                step_hours: 96.0,
                ..usual.clone()
            },
        ),
        scenario(
            "told-together",
            "'downloaded' is told with the outcome; windows",
            Target::FalseHalts,
            windows.clone(),
        ),
        scenario(
            "order-of-reports",
            "the same, counted in the order of reports: wrong",
            Target::Halts { part: 0.5 },
            Population {
                counted_by_reports: true,
                ..windows
            },
        ),
        scenario(
            "slow-downloads",
            "10 % of the downloads take ten hours",
            Target::FalseHalts,
            Population {
                slow: 0.1,
                ..usual.clone()
            },
        ),
        scenario(
            "five-steps",
            "five steps, each at its tolerance",
            Target::FalseHalts,
            Population {
                steps: [100, 400, 1_000, 2_000, 4_000]
                    .map(|treated| Step {
                        treated,
                        control: 4_000,
                        failing: 0.02,
                    })
                    .to_vec(),
                plan: 5,
                step_hours: 24.0,
                ..usual
            },
        ),
    ]
}

/// Builds that do nothing to a phone, among phones that are no quiet company.
fn arms_alike() -> Vec<Scenario> {
    let calm = Population::calm(2_000, 10_000);
    let crashing = |ratio| Population {
        crashes: Some(Crashes { per_day: 0.5, ratio }),
        ..calm.clone()
    };
    let away = |share, from, hours| Population {
        absence: Some(Absence { share, from, hours }),
        ..calm.clone()
    };
    vec![
        scenario(
            "crash-prone",
            "few phones have most crashes, in both arms",
            Target::FalseHalts,
            crashing(1.0),
        ),
        scenario(
            "crash-limit",
            "the treated crash 1.25 times as often, which is tolerated",
            Target::FalseHalts,
            crashing(1.25),
        ),
        scenario(
            "outage",
            "15 % can't reach the server for a day",
            Target::FalseHalts,
            away(0.15, 3.0, 24.0),
        ),
        scenario(
            "dark-region",
            "20 % fall silent for good",
            Target::FalseHalts,
            away(0.2, 3.0, f64::INFINITY),
        ),
        scenario(
            "nights",
            "60 % are off at night, a rollout begins at 17:00",
            Target::FalseHalts,
            Population {
                off_at_night: 0.6,
                begins: 17.0,
                ..calm.clone()
            },
        ),
        scenario(
            "ramp",
            "the share rises for twelve hours into the night",
            Target::FalseHalts,
            Population {
                off_at_night: 0.6,
                begins: 15.0,
                entry: Entry::Ramp { hours: 12.0 },
                ..calm.clone()
            },
        ),
        scenario(
            "missing-10",
            "10 % of healthy phones miss an hour and a half",
            Target::FalseHalts,
            Population { missing: 0.1, ..calm },
        ),
    ]
}

fn bad_builds() -> Vec<Scenario> {
    let failing = |treated, entry| Population {
        steps: vec![Step {
            treated,
            control: 0,
            failing: 0.1,
        }],
        plan: 5,
        step_hours: 24.0,
        entry,
        fixed_part: true,
        ..Population::calm(0, 0)
    };
    let bricked = |missing| Population {
        bricked: 0.03,
        missing,
        step_hours: 24.0,
        ..Population::calm(2_000, 20_000)
    };
    vec![
        scenario(
            "fails-10",
            "a tenth of 1,000 fails, the first of five steps",
            Target::HaltsWithinSent {
                sent: 200,
                part: 0.95,
            },
            failing(1_000, Entry::Ramp { hours: 12.0 }),
        ),
        scenario(
            "fails-10-nudge",
            "a tenth of 2,000 fails, all woken at once",
            Target::Halts { part: 0.95 },
            failing(2_000, Entry::Nudge { minutes: 20.0 }),
        ),
        scenario(
            "later-step",
            "10,000 at 0.5 %, then a step at 5 %",
            Target::MedianSent { step: 1, sent: 600 },
            Population {
                steps: vec![
                    Step {
                        treated: 10_000,
                        control: 0,
                        failing: 0.005,
                    },
                    Step {
                        treated: 3_000,
                        control: 0,
                        failing: 0.05,
                    },
                ],
                plan: 2,
                step_hours: 24.0,
                entry: Entry::Ramp { hours: 12.0 },
                ..Population::calm(0, 0)
            },
        ),
        scenario(
            "bricked-0",
            "3 % bricked, no healthy phone misses polls",
            Target::Halts { part: 0.95 },
            bricked(0.0),
        ),
        scenario(
            "bricked-1",
            "the same, 1 % of healthy phones miss an hour and a half",
            Target::Halts { part: 0.95 },
            bricked(0.01),
        ),
        scenario(
            "bricked-4",
            "the same, 4 % do",
            Target::Halts { part: 0.85 },
            bricked(0.04),
        ),
        scenario(
            "bricked-10",
            "the same, 10 % do: too many to find it",
            Target::Shown,
            bricked(0.1),
        ),
        scenario(
            "share-95",
            "90 % bricked at a share of 95 %",
            Target::HaltsNeverBlind,
            Population {
                bricked: 0.9,
                step_hours: 24.0,
                ..Population::calm(9_500, 500)
            },
        ),
    ]
}

fn going_on() -> Vec<Scenario> {
    let failing = |failing, how| Population {
        steps: vec![Step {
            treated: 2_000,
            control: 4_000,
            failing,
        }],
        failing: how,
        ..Population::calm(0, 0)
    };
    let away = |from, hours| Population {
        absence: Some(Absence {
            share: 1.0,
            from,
            hours,
        }),
        ..Population::calm(2_000, 4_000)
    };
    vec![
        scenario(
            "good-build",
            "0.5 % fail",
            Target::Advances { part: 0.95 },
            failing(0.005, Failing::Terminal),
        ),
        scenario(
            "twice-tolerated",
            "4 % fail",
            Target::AdvancesAtMost { part: 0.05 },
            failing(0.04, Failing::Terminal),
        ),
        scenario(
            "pending-retries",
            "a fifth fails and tries again",
            Target::NeverAdvances,
            failing(0.2, Failing::Retries),
        ),
        scenario(
            "no-traffic",
            "nobody polls",
            Target::NeverAdvances,
            away(0.0, f64::INFINITY),
        ),
        scenario(
            "server-away",
            "nobody reaches the server for a day",
            Target::Blind { from: 10, to: 34 },
            away(10.0, 24.0),
        ),
    ]
}
