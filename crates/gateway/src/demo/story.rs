//! What the demo's operator does: the first build of each app for everybody, and the second by its plan. From there the
//! plans go on by themselves and the gates judge; the third builds, and what is halted, are left to whoever is watching.

use std::convert::Infallible;
use std::time::Duration;

use serde_json::{Value, json};

use super::builds::App;
use super::guide::{LiveLine, Told};
use super::operator::Operator;
use crate::Error;

/// How often the operator looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the operator does next with an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Gives a build to everybody.
    ToEverybody(i64),
    /// Releases a build by its plan, watched by its gate.
    ByPlan(i64),
    Watch,
}

/// A build as the operator sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    id: i64,
    version_code: i64,
    /// Whether it was ever released.
    released: bool,
    is_current: bool,
    /// What its newest rollout says; null before there is one.
    rollout: Value,
    installed: i64,
    failed: i64,
}

/// Takes one step after the other, until it is dropped.
pub(super) async fn tell(operator: &Operator, apps: [(&'static App, u32); 2]) -> Result<Infallible, Error> {
    let mut line = LiveLine::default();
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let mut told = Vec::new();
        for (app, devices) in apps {
            let builds = look(operator, app).await?;
            match next(&builds, devices.into()) {
                Step::ToEverybody(build) => {
                    operator.promote(build, json!({ "rollout_percent": 100 })).await?;
                }
                Step::ByPlan(build) => operator.promote(build, app.terms()).await?,
                Step::Watch => {}
            }
            told.extend(tell_of(app, &builds));
        }
        line.show(&told);
    }
}

/// The app's builds in the order of their versions.
async fn look(operator: &Operator, app: &App) -> Result<Vec<Seen>, Error> {
    let query = format!("package_name={}&page_size=500", app.package);
    let builds = operator.list(&format!("/v1/apk?{query}")).await?;
    let rollouts = operator.list(&format!("/v1/rollouts?{query}")).await?;
    let mut seen = Vec::new();
    for sample in &app.builds {
        let is_it = |build: &&Value| build["version_code"] == sample.version_code;
        let Some(build) = builds.iter().find(is_it) else {
            continue;
        };
        let mut found = see(build, &rollouts);
        if found.released {
            let stats = operator.stats(found.id).await?;
            found.installed = stats["installs_success"].as_i64().unwrap_or_default();
            found.failed = stats["installs_failed"].as_i64().unwrap_or_default();
        }
        seen.push(found);
    }
    Ok(seen)
}

fn see(build: &Value, rollouts: &[Value]) -> Seen {
    let own = rollouts
        .iter()
        .filter(|rollout| rollout["build_id"] == build["build_id"]);
    let newest = own.max_by_key(|rollout| rollout["rollout_id"].as_i64());
    Seen {
        id: build["build_id"].as_i64().unwrap_or_default(),
        version_code: build["version_code"].as_i64().unwrap_or_default(),
        released: newest.is_some(),
        is_current: build["is_current"] == true,
        rollout: newest.cloned().unwrap_or_default(),
        ..Seen::default()
    }
}

/// The next step. What somebody else released is left alone, and so is all that comes after the second build's release.
fn next(builds: &[Seen], devices: i64) -> Step {
    let [first, second, third] = builds else {
        return Step::Watch;
    };
    if third.released || second.released {
        return Step::Watch;
    }
    if !first.released {
        return Step::ToEverybody(first.id);
    }
    // Seven of ten are enough: some are switched off, and some never take it.
    let is_settled = (first.installed + first.failed) * 10 >= devices * 7;
    match first.is_current && first.rollout["state"] == "active" && is_settled {
        true => Step::ByPlan(second.id),
        false => Step::Watch,
    }
}

/// What is told of an app: of its current build, or of the newest that was released.
fn tell_of(app: &App, builds: &[Seen]) -> Option<Told> {
    let current = builds.iter().find(|build| build.is_current);
    let build = current.or_else(|| builds.iter().rev().find(|build| build.released))?;
    let rollout = &build.rollout;
    let version = app.name(build.version_code);
    let app = app.package.rsplit('.').next().unwrap_or_default();
    Some(Told {
        stands: format!("{app} {version} {}", stands(rollout)),
        counts: format!(
            "at {} %, {} installed it, {} failed",
            rollout["rollout_percent"], build.installed, build.failed
        ),
    })
}

/// Where a rollout stands, in words that change only when it goes on.
fn stands(rollout: &Value) -> String {
    let state = rollout["state"].as_str().unwrap_or_default();
    let steps = rollout["plan"]["steps"].as_array().map_or(0, Vec::len);
    let step = rollout["progress"]["step"].as_i64().unwrap_or_default();
    let phase = rollout["phase"].as_str().unwrap_or(state).replace('_', " ");
    match state {
        "halted" => "HALTED by its gate".to_owned(),
        "active" if steps > 0 => format!("step {step} of {steps}, {phase}"),
        _ => state.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::super::builds::KIOSKS;
    use super::*;

    fn fresh() -> Vec<Seen> {
        let build = |id, version_code| Seen {
            id,
            version_code,
            ..Seen::default()
        };
        vec![build(1, 300), build(2, 310), build(3, 311)]
    }

    fn release(build: &mut Seen, state: &str) {
        (build.released, build.is_current) = (true, true);
        build.rollout = json!({ "state": state, "rollout_percent": 100 });
    }

    #[test]
    fn the_first_build_goes_to_everybody_and_the_second_by_its_plan_once_that_has_settled() {
        let mut builds = fresh();
        assert_eq!(next(&builds, 200), Step::ToEverybody(1));
        release(&mut builds[0], "active");
        builds[0].installed = 100;
        assert_eq!(next(&builds, 200), Step::Watch, "half of the fleet has it");
        (builds[0].installed, builds[0].failed) = (139, 1);
        assert_eq!(next(&builds, 200), Step::ByPlan(2));
        builds[0].is_current = false;
        for state in ["active", "halted", "rolled_back"] {
            release(&mut builds[1], state);
            assert_eq!(
                next(&builds, 200),
                Step::Watch,
                "{state}: the rest is the watcher's"
            );
        }
    }

    #[test]
    fn what_the_watcher_did_is_left_alone() {
        let mut settled = fresh();
        release(&mut settled[0], "active");
        settled[0].installed = 200;
        let mut paused = settled.clone();
        paused[0].rollout["state"] = json!("paused");
        let mut overtaken = settled.clone();
        release(&mut overtaken[2], "active");
        for builds in [paused, overtaken, Vec::new()] {
            assert_eq!(next(&builds, 200), Step::Watch, "{builds:?}");
        }
    }

    #[test]
    fn the_line_says_where_a_plan_stands_and_that_a_gate_halted_it() {
        let mut builds = fresh();
        assert_eq!(tell_of(&KIOSKS, &builds), None, "nothing is released");
        release(&mut builds[0], "active");
        release(&mut builds[1], "active");
        builds[0].is_current = false;
        let plan = json!({ "steps": [{}, {}, {}] });
        builds[1].rollout = json!({
            "state": "active", "phase": "waiting_evidence", "rollout_percent": 30.5, "plan": plan,
            "progress": { "step": 1 },
        });
        (builds[1].installed, builds[1].failed) = (17, 6);
        let told = tell_of(&KIOSKS, &builds).unwrap();
        assert_eq!(told.stands, "kiosk 3.1.0 step 1 of 3, waiting evidence");
        assert_eq!(told.counts, "at 30.5 %, 17 installed it, 6 failed");
        builds[1].rollout["state"] = json!("halted");
        let told = tell_of(&KIOSKS, &builds).unwrap();
        assert_eq!(told.stands, "kiosk 3.1.0 HALTED by its gate");
    }
}
