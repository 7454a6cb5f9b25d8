//! What the demo's operator does: the first build for everybody, the second for a growing share, and the third is
//! left to whoever is watching.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::builds::SAMPLES;
use super::operator::Operator;
use super::{PACKAGE, guide};
use crate::Error;

/// How often the operator looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a step stands at least before the next, so that a person can watch it.
const STEP_LASTS: Duration = Duration::from_secs(12);

/// The second build's shares, one after the other.
const SHARES: [i64; 4] = [10, 25, 50, 100];

/// What the operator does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Promote { build: i64, percent: i64 },
    Raise { build: i64, percent: i64 },
    Watch,
}

/// What decides about the next step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    id: i64,
    version_code: i64,
    /// Whether it was ever released.
    released: bool,
    /// Whether it was ever taken back.
    rolled_back: bool,
    pub(super) is_current: bool,
    active: bool,
    pub(super) percent: i64,
    installed: i64,
    failed: i64,
}

/// Takes one step after the other, until it is dropped.
pub(super) async fn tell(operator: &Operator, fleet: u32) -> Result<Infallible, Error> {
    let mut line = guide::LiveLine::default();
    let mut stepped: Option<Instant> = None;
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let (builds, current) = look(operator).await?;
        if let Some(stats) = &current {
            line.show(stats, &builds, fleet);
        }
        if stepped.is_some_and(|at| at.elapsed() < STEP_LASTS) {
            continue;
        }
        match next(&builds, i64::from(fleet)) {
            Step::Watch => continue,
            Step::Promote { build, percent } => {
                line.note(&format!(
                    "releasing {} to {percent} % of the fleet",
                    name(&builds, build)
                ));
                operator.promote(build, percent).await?;
            }
            Step::Raise { build, percent } => {
                line.note(&format!("raising {} to {percent} %", name(&builds, build)));
                operator.adjust(build, percent).await?;
            }
        }
        #[allow(clippy::disallowed_methods, reason = "a person really watches it")]
        let now = Instant::now();
        stepped = Some(now);
    }
}

/// The sample builds in the order of their versions, and the current one's statistics.
async fn look(operator: &Operator) -> Result<(Vec<Seen>, Option<Value>), Error> {
    let builds = operator
        .list(&format!("/v1/apk?package_name={PACKAGE}&page_size=500"))
        .await?;
    let rollouts = operator
        .list(&format!("/v1/rollouts?package_name={PACKAGE}&page_size=500"))
        .await?;
    let (mut seen, mut current) = (Vec::new(), None);
    for sample in &SAMPLES {
        let Some(build) = builds
            .iter()
            .find(|build| build["version_code"] == sample.version_code)
        else {
            continue;
        };
        let mut found = see(build, &rollouts);
        if found.is_current {
            let stats = operator.stats(found.id).await?;
            found.installed = stats["installs_success"].as_i64().unwrap_or_default();
            found.failed = stats["installs_failed"].as_i64().unwrap_or_default();
            current = Some(stats);
        }
        seen.push(found);
    }
    Ok((seen, current))
}

fn see(build: &Value, rollouts: &[Value]) -> Seen {
    let own = || {
        rollouts
            .iter()
            .filter(|rollout| rollout["build_id"] == build["build_id"])
    };
    Seen {
        id: build["build_id"].as_i64().unwrap_or_default(),
        version_code: build["version_code"].as_i64().unwrap_or_default(),
        released: own().next().is_some(),
        rolled_back: own().any(|rollout| rollout["state"] == "rolled_back"),
        is_current: build["is_current"] == true,
        active: build["rollout_state"] == "active",
        percent: build["staged_rollout_percent"].as_i64().unwrap_or_default(),
        ..Seen::default()
    }
}

/// The next step. A build that somebody paused, rolled back or replaced by hand is left alone.
fn next(builds: &[Seen], fleet: i64) -> Step {
    let [first, second, third] = builds else {
        return Step::Watch;
    };
    if third.released || second.rolled_back {
        return Step::Watch;
    }
    if !first.released {
        return Step::Promote {
            build: first.id,
            percent: 100,
        };
    }
    if !second.released {
        let ready = first.is_current && first.active && settled(first, fleet);
        return if ready {
            Step::Promote {
                build: second.id,
                percent: SHARES[0],
            }
        } else {
            Step::Watch
        };
    }
    let higher = SHARES.into_iter().find(|share| *share > second.percent);
    match higher {
        Some(percent) if second.is_current && second.active && settled(second, fleet) => Step::Raise {
            build: second.id,
            percent,
        },
        _ => Step::Watch,
    }
}

/// Whether the share is as good as installed. Seven of ten of its devices are enough, because a cohort is only about as
/// large as its share, the less so in a small fleet.
fn settled(build: &Seen, fleet: i64) -> bool {
    let expected = fleet * build.percent / 100;
    (build.installed + build.failed) * 10 >= expected * 7
}

fn name(builds: &[Seen], id: i64) -> &'static str {
    let code = builds
        .iter()
        .find(|build| build.id == id)
        .map(|build| build.version_code);
    let sample = SAMPLES.iter().find(|sample| Some(sample.version_code) == code);
    sample.map_or("a build", |sample| sample.version_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Vec<Seen> {
        let build = |id, version_code| Seen {
            id,
            version_code,
            ..Seen::default()
        };
        vec![build(1, 100), build(2, 110), build(3, 120)]
    }

    fn current(build: &mut Seen, percent: i64, installed: i64) {
        (build.released, build.is_current, build.active) = (true, true, true);
        (build.percent, build.installed) = (percent, installed);
    }

    #[test]
    fn the_first_build_goes_to_everybody_and_the_second_to_more_and_more() {
        let mut builds = fresh();
        assert_eq!(
            next(&builds, 200),
            Step::Promote {
                build: 1,
                percent: 100
            }
        );
        current(&mut builds[0], 100, 100);
        assert_eq!(next(&builds, 200), Step::Watch, "half of the fleet has it");
        builds[0].installed = 190;
        assert_eq!(
            next(&builds, 200),
            Step::Promote {
                build: 2,
                percent: 10
            }
        );
        builds[0].is_current = false;
        for (percent, higher) in [(10, 25), (25, 50), (30, 50), (50, 100)] {
            current(&mut builds[1], percent, 0);
            assert_eq!(next(&builds, 200), Step::Watch, "nobody has it");
            builds[1].installed = 2 * percent;
            assert_eq!(
                next(&builds, 200),
                Step::Raise {
                    build: 2,
                    percent: higher
                }
            );
        }
        current(&mut builds[1], 100, 200);
        assert_eq!(
            next(&builds, 200),
            Step::Watch,
            "the third build is the watcher's"
        );
    }

    #[test]
    fn what_the_watcher_did_is_left_alone() {
        let mut done = fresh();
        current(&mut done[0], 100, 200);
        done[0].is_current = false;
        current(&mut done[1], 10, 20);

        let mut paused = done.clone();
        paused[1].active = false;
        let mut taken_back = done.clone();
        (taken_back[1].is_current, taken_back[1].rolled_back) = (false, true);
        (taken_back[0].is_current, taken_back[0].installed) = (true, 200);
        let mut overtaken = done.clone();
        (
            overtaken[1].is_current,
            overtaken[2].is_current,
            overtaken[2].released,
        ) = (false, true, true);
        for builds in [paused, taken_back, overtaken, Vec::new()] {
            assert_eq!(next(&builds, 200), Step::Watch, "{builds:?}");
        }
    }
}
