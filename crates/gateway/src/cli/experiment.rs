//! `tidegate admin experiment`: builds tried side by side.

use std::sync::Arc;

use tidegate_domain::{
    ArmDraft, Audience, BuildId, ConclusionDraft, ExperimentDraft, ExperimentId, Percent, Position,
    RolloutId, Share, Slice, Winner,
};
use tidegate_service::{
    Actor, ArmView, Error as Refusal, ExperimentFilter, ExperimentView, Experiments, Fleet, Rollouts,
    Snapshots,
};

use super::args::{AdminExperiment, ExperimentTerms};
use super::people::{lines, moment};
use crate::wiring::{self, Stores};
use crate::{Config, Error};

/// Begins, shows and concludes experiments.
pub(super) async fn experiment(config: &Config, init: bool, what: AdminExperiment) -> Result<String, Error> {
    let experiments = open(config, init).await?;
    let console = Actor::console();
    match what {
        AdminExperiment::Create(terms) => {
            let package = terms.package.clone();
            let draft = draft(terms)?;
            let begun = experiments.create(&console, package, draft).await?;
            Ok(told(&begun))
        }
        AdminExperiment::List { package } => {
            let filter = ExperimentFilter { package };
            lines(|page| experiments.list(filter.clone(), page), told_in_short).await
        }
        AdminExperiment::Show { id } => Ok(told(&experiments.get(ExperimentId(id)).await?)),
        AdminExperiment::Conclude {
            id,
            winner,
            winner_rollout,
            no_winner: _,
            percent,
        } => {
            let by_build = winner.map(|build| Winner::Build(BuildId(build)));
            let by_rollout = winner_rollout.map(|rollout| Winner::Rollout(RolloutId(rollout)));
            let percent = percent.map(Percent::of_decimal).transpose();
            let draft = ConclusionDraft {
                winner: by_build.or(by_rollout),
                percent: percent.map_err(Refusal::from)?.unwrap_or(Percent::EVERYBODY),
            };
            let concluded = experiments.conclude(&console, ExperimentId(id), draft).await?;
            Ok(told(&concluded))
        }
    }
}

/// The fleet is not counted here, which takes a while with a large one: what runs in a slice is told by the server.
async fn open(config: &Config, init: bool) -> Result<Experiments, Error> {
    let stores = Stores::open_made(config, init).await?;
    let store = stores.store;
    let clock = wiring::clock();
    let snapshots = Arc::new(Snapshots::load(store.clone(), Arc::clone(&clock)).await?);
    let rollouts = Rollouts::new(
        store.clone(),
        stores.artifacts,
        Arc::clone(&snapshots),
        Arc::clone(&clock),
    );
    let fleet = Fleet::new(store.clone(), Arc::clone(&clock));
    Ok(Experiments::new(
        store,
        Arc::new(rollouts),
        snapshots,
        Arc::new(fleet),
        clock,
    ))
}

fn draft(terms: ExperimentTerms) -> Result<ExperimentDraft, Error> {
    let audience = terms.audience.as_deref().map(Audience::parse).transpose();
    Ok(ExperimentDraft {
        name: terms.name,
        priority: terms.priority,
        audience: audience.map_err(Refusal::from)?.unwrap_or_default(),
        salt: terms.salt,
        arms: terms.arms,
        holdout: terms.holdout,
        start: terms.start,
    })
}

/// An arm as it is written: `BUILD=PERCENT`, or `BUILD=PERCENT:NAME`.
pub(super) fn arm(text: &str) -> Result<ArmDraft, String> {
    let form = || "must be BUILD=PERCENT or BUILD=PERCENT:NAME, such as 7=10:blue".to_owned();
    let (build, rest) = text.split_once('=').ok_or_else(form)?;
    let (percent, name) = rest.split_once(':').unwrap_or((rest, ""));
    Ok(ArmDraft {
        build: BuildId(build.parse().map_err(|_| form())?),
        width: width(percent)?,
        name: name.to_owned(),
    })
}

/// A part of the fleet, in percent.
pub(super) fn width(text: &str) -> Result<Share, String> {
    let percent: Option<f64> = text.parse().ok();
    percent
        .and_then(|percent| Slice::of_percents(0.0, percent).ok())
        .map(|slice| slice.width)
        .ok_or_else(|| "must be a percentage above 0 and at most 100".to_owned())
}

/// A place in the fleet, in percent.
pub(super) fn start(text: &str) -> Result<Position, String> {
    let percent: Option<f64> = text.parse().ok();
    percent
        .and_then(|percent| Slice::of_percents(percent, 100.0).ok())
        .map(|slice| slice.start)
        .ok_or_else(|| "must be a percentage of at least 0 and below 100".to_owned())
}

/// In one line.
fn told_in_short(view: &ExperimentView) -> String {
    let (id, spec) = (view.experiment.id, &view.experiment.spec);
    let name = match spec.name.as_str() {
        "" => String::new(),
        name => format!(" \"{name}\""),
    };
    let state = match &spec.conclusion {
        None => "running".to_owned(),
        Some(conclusion) => {
            let end = match conclusion.promoted {
                Some((build, percent)) => format!("build {build} was promoted to {percent}"),
                None => "without a winner".to_owned(),
            };
            format!("concluded {} by {}: {end}", moment(conclusion.at), conclusion.by)
        }
    };
    format!(
        "{id}{name} {}, {} arms, made {} by {}, {state}",
        spec.package,
        view.arms.len(),
        moment(spec.created_at),
        spec.created_by
    )
}

/// With its arms, one in each line, and the hold-out.
fn told(view: &ExperimentView) -> String {
    let mut lines = vec![told_in_short(view)];
    lines.extend(view.arms.iter().map(told_arm));
    if let Some(slice) = view.experiment.spec.holdout {
        lines.push(format!("  hold-out, {slice}"));
    }
    lines.join("\n")
}

fn told_arm(arm: &ArmView) -> String {
    let (rollout, stats) = (&arm.rollout, &arm.stats);
    let name = match rollout.spec.name.as_str() {
        "" => String::new(),
        name => format!(" \"{name}\""),
    };
    format!(
        "  rollout {}{name}, build {}, {}, {} of {}: {} checks, {} offered, {} downloaded, {} installed, {} failed, {} \
         did not verify",
        rollout.id,
        rollout.spec.build,
        rollout.spec.state,
        rollout.spec.settings.percent,
        rollout.spec.settings.slice,
        stats.total_checks,
        stats.total_eligible,
        stats.total_downloads,
        stats.installs_success,
        stats.installs_failed,
        stats.verify_failed
    )
}
