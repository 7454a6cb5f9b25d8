//! Gates: their terms as requests say them, and what they found.

use tidegate_domain::gate::{GateMode, GateSettings, GateTerms, Tolerance};
use tidegate_domain::{Resume, Role, RolloutId};
use tidegate_proto::v1;
use tidegate_service::{Actor, Error, Rollouts};

use crate::messages;

/// What a request says of a gate beside its settings.
pub(super) struct AfterHalt {
    pub(super) on_halt: Option<String>,
    pub(super) roll_back_forced: Option<bool>,
}

impl AfterHalt {
    pub(super) fn is_said(&self) -> bool {
        self.on_halt.is_some() || self.roll_back_forced.is_some()
    }

    /// Refuses what goes with a gate where there is none.
    fn refuse(&self) -> Result<(), Error> {
        let field = match (&self.on_halt, self.roll_back_forced) {
            (Some(_), _) => "on_halt",
            (None, Some(_)) => "roll_back_forced",
            (None, None) => return Ok(()),
        };
        Err(Error::invalid(
            field,
            "goes with a gate only: send one beside it, or leave it out",
        ))
    }
}

/// The gate of a rollout that is made.
pub(super) fn asked(gate: Option<v1::Gate>, after: AfterHalt) -> Result<Option<GateTerms>, Error> {
    Ok(edited(Some(v1::GateChange { gate }), after, None)?.flatten())
}

/// What becomes of a gate of these terms: nothing, that there is none, or others. What is not said of what follows a halt
/// stays, while settings are sent whole.
pub(super) fn edited(
    change: Option<v1::GateChange>,
    after: AfterHalt,
    before: Option<GateTerms>,
) -> Result<Option<Option<GateTerms>>, Error> {
    let settings = match change {
        Some(v1::GateChange { gate }) => gate.as_ref().map(settings).transpose()?,
        None if !after.is_said() => return Ok(None),
        None => before.map(|before| before.settings),
    };
    let Some(settings) = settings else {
        after.refuse()?;
        return Ok(Some(None));
    };
    let on_halt = after.on_halt.map(|word| word.parse()).transpose()?;
    let terms = before
        .unwrap_or_default()
        .changed(settings, on_halt, after.roll_back_forced)?;
    Ok(Some(Some(terms)))
}

fn settings(gate: &v1::Gate) -> Result<GateSettings, Error> {
    let usual = GateSettings::default();
    let tolerance = |field, percent: Option<f64>, usual| match percent {
        Some(percent) => Tolerance::of_percent(field, percent),
        None => Ok(usual),
    };
    Ok(GateSettings {
        mode: match gate.mode.as_str() {
            "" => usual.mode,
            mode => mode.parse::<GateMode>()?,
        },
        failed_percent: tolerance("gate.failed_percent", gate.failed_percent, usual.failed_percent)?,
        corrupt_percent: tolerance(
            "gate.corrupt_percent",
            gate.corrupt_percent,
            usual.corrupt_percent,
        )?,
        lost: gate.lost.unwrap_or(usual.lost),
        crashing: gate.crashing.unwrap_or(usual.crashing),
        holdback: gate.holdback,
    })
}

/// What a person says who resumes a rollout.
pub(super) fn resumption(acknowledged: Option<i64>, remark: Option<String>) -> Result<Resume, Error> {
    let count = |acknowledged: i64| {
        u64::try_from(acknowledged)
            .map_err(|_| Error::invalid("acknowledged_failures", "must be a number of devices"))
    };
    Ok(Resume {
        acknowledged_failures: acknowledged.map(count).transpose()?,
        remark,
    })
}

pub(crate) async fn get(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::GetRolloutGateRequest,
) -> Result<v1::RolloutGate, Error> {
    actor.require(Role::Viewer)?;
    let state = rollouts.gate(RolloutId(request.rollout_id)).await?;
    Ok(messages::rollout_gate(&state))
}
