//! The choice between a share at once and a plan, and what of it waits for a second person.

use tidegate_domain::gate::{GateMode, GateSettings, GateTerms, OnHalt, Tolerance};
use tidegate_domain::{Approval, Plan};
use tidegate_service::{Error, Package};

use super::plan_words;
use crate::form::Fields;

/// The word for the plan that the package proposes, and for the field that carries it.
const PROPOSED: &str = "plan";

/// The words for the plans that can be chosen, and for the fields that carry them.
const PLANS: [(&str, &str); 2] = [(PROPOSED, PROPOSED), ("careful", "careful_plan")];

/// The word for a share at once.
const SHARE: &str = "share";

/// The word for no gate among what follows a halt.
pub(crate) const NO_GATE: &str = "none";

/// The word for the gate that is usual: a plan has one, a share at once has none.
pub(crate) const USUAL_GATE: &str = "usual";

/// What the dialog offers beside a share.
pub(crate) struct PlanChoice {
    /// The plans to choose from, first the one that the package proposes.
    pub templates: Vec<Template>,
    /// What the package asks a second person for.
    pub approval: Option<String>,
}

/// A plan that can be chosen.
pub(crate) struct Template {
    /// The word for it in the form.
    pub word: &'static str,
    /// The field that carries it.
    pub field: &'static str,
    pub title: &'static str,
    /// All of it on one line.
    pub brief: String,
    /// Its steps in words.
    pub steps: Vec<String>,
    /// The share of its first step, in percent.
    pub first: f64,
    /// The plan as the form carries it: what was seen is what is released.
    pub json: String,
}

impl Template {
    fn of(
        (word, field): (&'static str, &'static str),
        title: &'static str,
        plan: &Plan,
        asks: Approval,
    ) -> Self {
        let steps = plan.steps().iter().zip(asks.waits_of(plan));
        Self {
            word,
            field,
            title,
            brief: plan_words::brief(plan),
            steps: steps.map(|(step, waits)| plan_words::step(step, waits)).collect(),
            first: plan.first().percent.as_decimal(),
            json: serde_json::to_string(plan).unwrap_or_default(),
        }
    }
}

impl PlanChoice {
    pub(crate) fn of(package: &Package) -> Self {
        let (careful, approval) = (Plan::careful(), package.approval);
        let [proposed, named] = PLANS;
        let by = "By the careful plan";
        let templates = match package.plan.as_ref().filter(|plan| **plan != careful) {
            None => vec![Template::of(proposed, by, &careful, approval)],
            Some(own) => vec![
                Template::of(proposed, "By the package’s plan", own, approval),
                Template::of(named, by, &careful, approval),
            ],
        };
        Self {
            templates,
            approval: asked(approval),
        }
    }

    /// The share that a release begins with which goes by this plan, in percent.
    pub(crate) fn first(&self, word: &str) -> f64 {
        let template = self.templates.iter().find(|template| template.word == word);
        template.map_or(0.0, |template| template.first)
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

/// The word for the plan that the form asks for; none where it asks for a share.
pub(crate) fn asked_plan(fields: &Fields) -> Option<&'static str> {
    let by = fields.text("by");
    PLANS.into_iter().map(|(word, _)| word).find(|word| *word == by)
}

/// The plan that the form carries and asks for; none where it asks for a share.
pub(crate) fn chosen(fields: &Fields) -> Result<Option<Plan>, Error> {
    let by = fields.text("by");
    let Some((_, field)) = PLANS.into_iter().find(|(word, _)| *word == by) else {
        return match by {
            "" | SHARE => Ok(None),
            _ => Err(Error::invalid("by", "must be share, plan or careful")),
        };
    };
    let unread = |fault| Error::invalid("plan", format!("does not read: {fault}"));
    serde_json::from_str(fields.text(field)).map(Some).map_err(unread)
}

/// The gate that the form asks for: at which share of failures it stops, and what follows. What the form does not ask is
/// as the package proposes it. None where no share of failures is named.
pub(crate) fn gate(fields: &Fields, proposed: Option<GateTerms>) -> Result<Option<GateTerms>, Error> {
    let said = fields.text("on_halt");
    match (said, fields.has("failed_percent")) {
        (NO_GATE, _) => return Ok(None),
        (_, false) if said != USUAL_GATE => return Ok(proposed),
        (USUAL_GATE, _) if asked_plan(fields).is_none() && !is_changed(fields, proposed) => {
            return Ok(proposed);
        }
        _ => {}
    }
    let before = proposed.unwrap_or_default();
    let failed_percent = match (fields.has("failed_percent"), fields.text("failed_percent")) {
        (true, "") => return Ok(None),
        (true, _) => Tolerance::of_percent("failed_percent", fields.decimal("failed_percent")?)?,
        (false, _) => before.settings.failed_percent,
    };
    let settings = GateSettings {
        mode: GateMode::Act,
        failed_percent,
        ..before.settings
    };
    let on_halt = match said {
        "" | USUAL_GATE => None,
        word => Some(word.parse::<OnHalt>()?),
    };
    Ok(Some(before.changed(settings, on_halt, None)?))
}

/// Whether another share of failures is named than the one that the dialog proposes: then a gate is meant.
fn is_changed(fields: &Fields, proposed: Option<GateTerms>) -> bool {
    let usual = failed_percent(proposed);
    fields.has("failed_percent") && fields.text("failed_percent") != usual
}

/// The share of failures that the dialog proposes, in percent.
pub(crate) fn failed_percent(proposed: Option<GateTerms>) -> String {
    let settings = proposed.unwrap_or_default().settings;
    settings.failed_percent.as_percent().to_string()
}
