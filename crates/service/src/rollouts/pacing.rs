//! Rates of plans: how many devices a step adds is counted by the forecast, at the time at which the plan is asked for.

use tidegate_domain::{
    BuildId, DevicesPerHour, InstallTerms, Percent, Plan, Promotion, Rollout, RolloutDraft, RolloutEdit,
    RolloutId, RolloutSettings,
};

use super::Forecasts;
use crate::{Actor, Error};

impl Forecasts {
    /// The draft with the ramps that these rates come to; `rates` go by its plan's steps.
    ///
    /// # Errors
    /// What [`Forecasts::forecast`] refuses, except that another forecast is waited for;
    /// [`Kind::Invalid`](crate::Kind::Invalid) for a ramp that would take too long.
    pub async fn paced(
        &self,
        actor: &Actor,
        build: BuildId,
        mut draft: RolloutDraft,
        rates: &[Option<DevicesPerHour>],
    ) -> Result<RolloutDraft, Error> {
        if let Some(plan) = draft.promotion.plan.clone().filter(|_| is_paced(rates)) {
            draft.promotion.plan = Some(self.count(actor, build, draft.clone(), &plan, rates).await?);
        }
        Ok(draft)
    }

    /// The same of a change of a rollout: what its plan's steps add to devices that don't run the build yet.
    ///
    /// # Errors
    /// Those of [`Forecasts::paced`].
    pub async fn paced_edit(
        &self,
        actor: &Actor,
        id: RolloutId,
        mut edit: RolloutEdit,
        rates: &[Option<DevicesPerHour>],
    ) -> Result<RolloutEdit, Error> {
        if let Some(plan) = edit.plan.clone().filter(|_| is_paced(rates)) {
            let rollout = self.rollouts().get(id).await?;
            let draft = draft(&rollout, &edit);
            edit.plan = Some(self.count(actor, rollout.spec.build, draft, &plan, rates).await?);
        }
        Ok(edit)
    }

    async fn count(
        &self,
        actor: &Actor,
        build: BuildId,
        draft: RolloutDraft,
        plan: &Plan,
        rates: &[Option<DevicesPerHour>],
    ) -> Result<Plan, Error> {
        let forecast = self.awaited(actor, build, draft).await?;
        let added: Vec<u64> = forecast.steps.iter().map(|step| step.new_devices).collect();
        Ok(plan.paced(rates, &added)?)
    }
}

fn is_paced(rates: &[Option<DevicesPerHour>]) -> bool {
    rates.iter().any(Option::is_some)
}

/// A rollout as this one would be after the change, from its plan's first step on.
fn draft(rollout: &Rollout, edit: &RolloutEdit) -> RolloutDraft {
    let settings = &rollout.spec.settings;
    let first = edit.plan.as_ref().map(|plan| plan.first().percent);
    RolloutDraft {
        name: String::new(),
        priority: edit.priority.unwrap_or(rollout.spec.priority),
        promotion: Promotion {
            settings: RolloutSettings {
                percent: first.unwrap_or(Percent::NOBODY),
                audience: edit.audience.clone().unwrap_or_else(|| settings.audience.clone()),
                slice: edit.slice.unwrap_or(settings.slice),
                // A deadline that has passed can't be asked for anew, and is nothing to whom it reaches.
                install: InstallTerms::default(),
                ..settings.clone()
            },
            keep_previous: true,
            retry_failed: false,
            auto_start: false,
            plan: edit.plan.clone(),
            gate: None,
        },
    }
}
