//! The choice between a share at once and the package's plan, and what of it waits for a second person.

use tidegate_domain::gate::{GateMode, GateSettings, GateTerms, OnHalt, Tolerance};
use tidegate_domain::{Approval, Plan};
use tidegate_service::{Error, Package};

use super::plan_words;
use crate::form::Fields;

/// What the dialog offers beside a share.
pub(crate) struct PlanChoice {
    /// The plan's steps in words.
    pub steps: Vec<String>,
    pub takes: String,
    /// The share of its first step, in percent.
    pub first: f64,
    /// The plan as the form carries it: what was seen is what is released.
    pub json: String,
    /// What the package asks a second person for.
    pub approval: Option<String>,
}

impl PlanChoice {
    pub(crate) fn of(package: &Package) -> Self {
        let plan = package.plan.clone().unwrap_or_else(Plan::careful);
        let approval = package.approval;
        let steps = plan.steps().iter().zip(approval.waits_of(&plan));
        Self {
            steps: steps.map(|(step, waits)| plan_words::step(step, waits)).collect(),
            takes: plan_words::takes(&plan),
            first: plan.first().percent.as_decimal(),
            json: serde_json::to_string(&plan).unwrap_or_default(),
            approval: asked(approval),
        }
    }
}

fn asked(approval: Approval) -> Option<String> {
    let what = match approval {
        Approval::Never => return None,
        Approval::Always => "Each release of this package".to_owned(),
        Approval::Above(limit) => format!("Each release of this package to more than {limit}"),
    };
    Some(format!(
        "{what} waits for another person. Until they approve, it offers nothing and takes nothing’s place; a plan waits \
         before the step."
    ))
}

/// Whether the form asks for the plan.
pub(crate) fn is_by_plan(fields: &Fields) -> bool {
    fields.text("by") == "plan"
}

/// The plan that the form carries.
pub(crate) fn chosen(fields: &Fields) -> Result<Plan, Error> {
    let unread = |fault| Error::invalid("plan", format!("does not read: {fault}"));
    serde_json::from_str(fields.text("plan")).map_err(unread)
}

/// The gate that the form asks for beside a plan: at which share of failures it stops, and what follows. What the form
/// does not ask is as the package proposes it. None where no share is named.
pub(crate) fn gate(fields: &Fields, proposed: Option<GateTerms>) -> Result<Option<GateTerms>, Error> {
    if fields.text("failed_percent").is_empty() {
        return Ok(None);
    }
    let before = proposed.unwrap_or_default();
    let settings = GateSettings {
        mode: GateMode::Act,
        failed_percent: Tolerance::of_percent("failed_percent", fields.decimal("failed_percent")?)?,
        ..before.settings
    };
    let on_halt = match fields.text("on_halt") {
        "" => None,
        word => Some(word.parse::<OnHalt>()?),
    };
    Ok(Some(before.changed(settings, on_halt, None)?))
}
