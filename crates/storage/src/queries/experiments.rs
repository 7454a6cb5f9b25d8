//! Experiments' statements.

use std::collections::{BTreeSet, HashMap};

use diesel::prelude::*;
use tidegate_domain::{
    self as domain, BuildId, Conclusion, Experiment, ExperimentChange, ExperimentFacts, ExperimentId,
    ExperimentSpec, ExperimentStart, PackageName, Percent, Rollout, Share, Slice, Track,
};

use super::epochs::Epoch;
use super::{BATCH, Conn, Db, audit, epochs, lock, rollout_events, rollouts};
use crate::error::Fault;
use crate::rows::{clean, clean_if, from_json, package_name, parsed, position, small, to_json};
use crate::schema::{experiments, packages};
use crate::time::{micros, moment};
use crate::{
    Actor, Attempts, AuditNote, Error, ExperimentChanged, ExperimentFilter, ExperimentWithArms, Page, Paged,
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = experiments)]
struct ExperimentRow {
    id: i64,
    name: String,
    priority: i64,
    audience_json: String,
    salt: Option<String>,
    slice_start: i64,
    holdout_start: Option<i64>,
    holdout_width: Option<i64>,
    created_by: String,
    created_at: i64,
    concluded_by: Option<String>,
    concluded_at: Option<i64>,
    winner_build_id: Option<i64>,
    winner_percent_hundredths: Option<i32>,
}

impl ExperimentRow {
    fn into_experiment(self, package: &str) -> Result<Experiment, Error> {
        let promoted = self.winner_build_id.zip(self.winner_percent_hundredths);
        let promoted = promoted.map(|(build, percent)| {
            let percent = Percent::of_hundredths(percent.into());
            let percent = parsed("experiments.winner_percent_hundredths", percent)?;
            Ok::<_, Error>((BuildId(build), percent))
        });
        let promoted = promoted.transpose()?;
        let conclusion = self.concluded_by.zip(self.concluded_at).map(|(by, at)| {
            let at = moment(at)?;
            Ok::<_, Error>(Conclusion { promoted, by, at })
        });
        let holdout = self.holdout_start.zip(self.holdout_width).map(|(start, width)| {
            Ok::<_, Error>(Slice {
                start: position("experiments.holdout_start", start)?,
                width: parsed("experiments.holdout_width", Share::new(width))?,
            })
        });
        let spec = ExperimentSpec {
            package: package_name(package)?,
            name: self.name,
            priority: small("experiments.priority", self.priority)?,
            audience: from_json("experiments.audience_json", &self.audience_json)?,
            salt: self.salt,
            start: position("experiments.slice_start", self.slice_start)?,
            holdout: holdout.transpose()?,
            created_by: self.created_by,
            created_at: moment(self.created_at)?,
            conclusion: conclusion.transpose()?,
        };
        Ok(Experiment {
            id: ExperimentId(self.id),
            spec,
        })
    }
}

#[derive(Insertable)]
#[diesel(table_name = experiments)]
struct NewExperiment {
    package_id: i64,
    name: String,
    priority: i64,
    audience_json: String,
    salt: Option<String>,
    slice_start: i64,
    holdout_start: Option<i64>,
    holdout_width: Option<i64>,
    created_by: String,
    created_at: i64,
}

impl NewExperiment {
    fn of(package_id: i64, spec: &ExperimentSpec) -> Result<Self, Error> {
        Ok(Self {
            package_id,
            name: clean(&spec.name),
            priority: spec.priority.into(),
            audience_json: to_json(&spec.audience)?,
            salt: clean_if(spec.salt.as_deref()),
            slice_start: spec.start.get().into(),
            holdout_start: spec.holdout.map(|slice| slice.start.get().into()),
            holdout_width: spec.holdout.map(|slice| slice.width.get().into()),
            created_by: clean(&spec.created_by),
            created_at: micros(spec.created_at),
        })
    }
}

pub(crate) fn start<F>(
    conn: &mut Conn,
    package: &PackageName,
    actor: &Actor,
    rule: &F,
) -> Result<ExperimentChanged, Fault>
where
    F: Fn(&Track, &[Experiment], &Attempts) -> Result<ExperimentStart, domain::Error>,
{
    let id = lock::package(conn, package.as_str())?;
    let id = id.ok_or_else(|| Error::not_found(format!("package {package}")))?;
    let (track, attempts) = (
        rollouts::load_track(conn, id, package)?,
        rollouts::attempts(conn, id)?,
    );
    let running = running(conn, &track)?;
    let change = match rule(&track, &running, &attempts).map_err(Error::Rule)? {
        ExperimentStart::Running(id) => {
            return Ok(ExperimentChanged {
                now: get(conn, id)?,
                changed: false,
            });
        }
        ExperimentStart::New(change) => *change,
    };
    let experiment: i64 = diesel::insert_into(experiments::table)
        .values(NewExperiment::of(id, &change.experiment)?)
        .returning(experiments::id)
        .get_result(conn)?;
    let experiment = ExperimentId(experiment);
    let mut arms = change.insert;
    for arm in &mut arms {
        arm.experiment = Some(experiment);
    }
    let arms = rollouts::apply(conn, id, &change.updates, &arms, change.next_slice_start)?;
    rollout_events::append(
        conn,
        change.updates.iter().chain(&arms),
        actor,
        change.action,
        None,
    )?;
    finish(conn, experiment, actor, change.action, None)
}

/// The experiments whose arms serve.
fn running(conn: &mut Conn, track: &Track) -> Result<Vec<Experiment>, Fault> {
    let serving = track.serving.iter();
    let ids: BTreeSet<i64> = serving
        .filter_map(|release| Some(release.rollout.spec.experiment?.0))
        .collect();
    by_ids(conn, &ids.into_iter().collect::<Vec<_>>())
}

pub(crate) fn conclude<F>(
    conn: &mut Conn,
    id: ExperimentId,
    actor: &Actor,
    rule: &F,
) -> Result<ExperimentChanged, Fault>
where
    F: Fn(&Track, &ExperimentWithArms, &Attempts) -> Result<ExperimentChange, domain::Error>,
{
    let package = get(conn, id)?.experiment.spec.package;
    let number = lock::package(conn, package.as_str())?;
    let number = number.ok_or_else(|| Error::not_found(format!("package {package}")))?;
    // Read again: until the package was held, somebody else could conclude it.
    let before = get(conn, id)?;
    let (track, attempts) = (
        rollouts::load_track(conn, number, &package)?,
        rollouts::attempts(conn, number)?,
    );
    let change = rule(&track, &before, &attempts).map_err(Error::Rule)?;
    if change.experiment == before.experiment.spec {
        return Ok(ExperimentChanged {
            now: before,
            changed: false,
        });
    }
    let (updates, insert) = (&change.updates, &change.insert);
    let inserted = rollouts::apply(conn, number, updates, insert, change.next_slice_start)?;
    rollout_events::append(conn, updates.iter().chain(&inserted), actor, change.action, None)?;
    note_conclusion(conn, id, change.experiment.conclusion.as_ref())?;
    finish(conn, id, actor, change.action, Some(&before))
}

fn note_conclusion(conn: &mut Conn, id: ExperimentId, conclusion: Option<&Conclusion>) -> Result<(), Fault> {
    let promoted = conclusion.and_then(|conclusion| conclusion.promoted);
    diesel::update(experiments::table.find(id.0))
        .set((
            experiments::concluded_by.eq(conclusion.map(|conclusion| clean(&conclusion.by))),
            experiments::concluded_at.eq(conclusion.map(|conclusion| micros(conclusion.at))),
            experiments::winner_build_id.eq(promoted.map(|(build, _)| build.0)),
            experiments::winner_percent_hundredths
                .eq(promoted.map(|(_, percent)| i32::from(percent.hundredths()))),
        ))
        .execute(conn)?;
    Ok(())
}

/// What ends every change: servers are told, and the audit log.
fn finish(
    conn: &mut Conn,
    id: ExperimentId,
    actor: &Actor,
    action: &'static str,
    before: Option<&ExperimentWithArms>,
) -> Result<ExperimentChanged, Fault> {
    let now = get(conn, id)?;
    epochs::raise(conn, Epoch::Catalog)?;
    audit::append(conn, &note(actor, action, before, &now)?)?;
    Ok(ExperimentChanged { now, changed: true })
}

fn note(
    actor: &Actor,
    action: &'static str,
    before: Option<&ExperimentWithArms>,
    after: &ExperimentWithArms,
) -> Result<AuditNote, Error> {
    let json = |shown: &ExperimentWithArms| {
        let Experiment { id, spec } = &shown.experiment;
        serde_json::to_value(ExperimentFacts::of(*id, spec, &shown.arms))
            .map_err(|fault| Error::corrupt("an experiment does not become JSON", fault))
    };
    let target = format!("package/{}", after.experiment.spec.package);
    let mut note = actor.note(action, target);
    note.before = before.map(json).transpose()?;
    note.after = Some(json(after)?);
    Ok(note)
}

pub(crate) fn get(conn: &mut Conn, id: ExperimentId) -> Result<ExperimentWithArms, Fault> {
    let found = by_ids(conn, &[id.0])?;
    let found = with_arms(conn, found)?.pop();
    Ok(found.ok_or_else(|| Error::not_found(format!("experiment {id}")))?)
}

fn by_ids(conn: &mut Conn, ids: &[i64]) -> Result<Vec<Experiment>, Fault> {
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(BATCH) {
        let rows: Vec<(String, ExperimentRow)> = experiments::table
            .inner_join(packages::table)
            .filter(experiments::id.eq_any(ids))
            .select((packages::name, ExperimentRow::as_select()))
            .load(conn)?;
        for (package, row) in rows {
            found.push(row.into_experiment(&package)?);
        }
    }
    Ok(found)
}

fn with_arms(conn: &mut Conn, found: Vec<Experiment>) -> Result<Vec<ExperimentWithArms>, Fault> {
    let ids: Vec<i64> = found.iter().map(|experiment| experiment.id.0).collect();
    let mut arms: HashMap<ExperimentId, Vec<Rollout>> = HashMap::new();
    for arm in rollouts::arms(conn, &ids)? {
        if let Some(experiment) = arm.spec.experiment {
            arms.entry(experiment).or_default().push(arm);
        }
    }
    let with_own = |experiment: Experiment| ExperimentWithArms {
        arms: arms.remove(&experiment.id).unwrap_or_default(),
        experiment,
    };
    Ok(found.into_iter().map(with_own).collect())
}

pub(crate) fn list(
    conn: &mut Conn,
    filter: &ExperimentFilter,
    page: &Page,
) -> Result<Paged<ExperimentWithArms>, Fault> {
    let mut query = experiments::table
        .inner_join(packages::table)
        .select((packages::name, ExperimentRow::as_select()))
        .order(experiments::id.desc())
        .limit(page.limit())
        .into_boxed::<Db>();
    if let Some(after) = page.after::<i64>()? {
        query = query.filter(experiments::id.lt(after));
    }
    if let Some(package) = &filter.package {
        query = query.filter(packages::name.eq(package.as_str()));
    }
    let rows = query.load::<(String, ExperimentRow)>(conn)?;
    let paged = page.paged(rows, |(_, row)| row.id);
    let paged = paged.try_map(|(package, row)| row.into_experiment(&package))?;
    Ok(Paged {
        items: with_arms(conn, paged.items)?,
        next_page_token: paged.next_page_token,
    })
}
