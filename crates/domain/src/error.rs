//! What a rule can refuse.

use crate::{
    BuildId, CampaignId, CampaignState, ExperimentId, Percent, RolloutId, RolloutState, VersionCode,
};

/// A rule's refusal. Each variant is a decision that the caller can take; [`Error::code`] is its stable name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A value does not have the form that its field demands.
    #[error("{field} {fault}")]
    Invalid {
        /// The field, by its name in the protocol.
        field: &'static str,
        /// What is wrong with it, to be read after the field's name.
        fault: String,
    },
    /// An audience's expression does not read.
    #[error(
        "audience, character {position}: {fault}{}",
        suggestion.as_ref().map_or(String::new(), |suggestion| format!("; did you mean {suggestion}"))
    )]
    Audience {
        /// Where, in characters from 1; one more than there are where something is missing at the end.
        position: usize,
        /// What is wrong there.
        fault: String,
        /// What may have been meant, to stand in its place.
        suggestion: Option<String>,
    },
    /// The package has no rollout that serves.
    #[error("{package} has no current rollout: promote a build first")]
    NoCurrentBuild {
        /// The package that was asked about.
        package: String,
    },
    /// The build named is not being offered, so its rollout cannot be changed.
    #[error("build {build} has no rollout that serves: promote it first")]
    NotServing {
        /// The build that was named.
        build: BuildId,
    },
    /// Several rollouts of the build serve, so it is not clear which of them is to be changed.
    #[error(
        "build {build} is offered by several rollouts ({}): name the one that is meant",
        list(rollouts)
    )]
    SeveralServing {
        /// The build that was named.
        build: BuildId,
        /// Its rollouts that serve.
        rollouts: Vec<RolloutId>,
    },
    /// The rollout named has ended, so it cannot be changed.
    #[error("rollout {rollout} has ended: make another one")]
    RolloutEnded {
        /// The rollout that was named.
        rollout: RolloutId,
    },
    /// The rollout was changed since the caller looked at it.
    #[error(
        "rollout {rollout} is at revision {revision} and not {seen} (any more): look at it again before you change it"
    )]
    RevisionMismatch {
        /// The rollout that was named.
        rollout: RolloutId,
        /// The revision that the caller saw.
        seen: u32,
        /// The revision that it is at.
        revision: u32,
    },
    /// The plan is at another step than the caller saw.
    #[error(
        "the plan of rollout {rollout} is at step {step} and not {seen} (any more): look at it again before you go on"
    )]
    StepMismatch {
        /// The rollout that was named.
        rollout: RolloutId,
        /// The step that the caller saw, from 1.
        seen: usize,
        /// The step at hand.
        step: usize,
    },
    /// The terms of an arm that make its experiment comparable stay as they are.
    #[error(
        "rollout {rollout} is an arm of experiment {experiment}: its audience, slice and priority stay; lower its share, end \
         it, or conclude the experiment"
    )]
    PartOfExperiment {
        /// The rollout that was named.
        rollout: RolloutId,
        /// Its experiment.
        experiment: ExperimentId,
    },
    /// The experiment was concluded, and otherwise.
    #[error(
        "experiment {experiment} was concluded already, and otherwise: look at it, and promote or begin another one"
    )]
    ExperimentEnded {
        /// The experiment that was named.
        experiment: ExperimentId,
    },
    /// The base takes another version back already, and can take back only one.
    #[error(
        "rollout {rollout} takes devices back from version {taken} already; promote its build again to take them back from another version"
    )]
    TakesBackAnother {
        /// The current base.
        rollout: RolloutId,
        /// The version that it takes devices back from.
        taken: VersionCode,
    },
    /// The build named is not its package's current one, as the caller took it to be.
    #[error("build {build} is not the current one (any more): reload before you change anything")]
    NotCurrent {
        /// The build that was named.
        build: BuildId,
    },
    /// Nothing served when the current rollout was promoted: there is nothing to go back to.
    #[error(
        "{package} released nothing that still served when build {build} was promoted, so there is no earlier build to roll back to; pause its rollout to stop offering it, or promote the build that devices are to have"
    )]
    NoPredecessor {
        /// The package.
        package: String,
        /// The build that is current.
        build: BuildId,
    },
    /// A forced downgrade would hand devices a build that another key signed, which Android refuses.
    #[error(
        "build {to} is not signed by the signer of build {from}, so no device can go back to it; re-issue the older code under a higher version code"
    )]
    SignerMismatch {
        /// The build that devices have.
        from: BuildId,
        /// The build that they would be taken back to.
        to: BuildId,
    },
    /// The rollout's state does not allow the change.
    #[error("the rollout of build {build} is {from} and cannot become {to}")]
    WrongState {
        /// The build whose rollout it is.
        build: BuildId,
        /// The state that it is in.
        from: RolloutState,
        /// The state that was asked for.
        to: RolloutState,
    },
    /// Only an active rollout's plan is started, held or advanced.
    #[error(
        "the rollout of build {build} is {state}: only an active one's plan can be started, held or advanced"
    )]
    NotActive {
        /// The build whose rollout it is.
        build: BuildId,
        /// The state that it is in.
        state: RolloutState,
    },
    /// The rollout has no plan.
    #[error("rollout {rollout} has no plan that could be held or advanced; change its share instead")]
    NoPlan {
        /// The rollout that was named.
        rollout: RolloutId,
    },
    /// The rollout's plan has no further step.
    #[error("the plan of rollout {rollout} has no further step; add some, or change its share")]
    PlanDone {
        /// The rollout that was named.
        rollout: RolloutId,
    },
    /// Another person has to approve first.
    #[error("rollout {rollout} waits for another person's approval")]
    ApprovalRequired {
        /// The rollout that was named.
        rollout: RolloutId,
    },
    /// Who edited something last can't approve it.
    #[error("rollout {rollout} was edited last by you or for you: another person has to approve it")]
    OwnApproval {
        /// The rollout that was named.
        rollout: RolloutId,
    },
    /// Nothing waits for an approval.
    #[error("nothing of rollout {rollout} waits for an approval")]
    NothingToApprove {
        /// The rollout that was named.
        rollout: RolloutId,
    },
    /// A release that is neither a rollout nor a promotion would need an approval.
    #[error(
        "{package} asks for an approval of releases to {share}: make a rollout, which can wait for it, instead of an \
         experiment"
    )]
    ApprovalUnsupported {
        /// The package.
        package: String,
        /// The share that would be released to.
        share: Percent,
    },
    /// The campaign's state does not allow the change.
    #[error("campaign {campaign} is {from} and cannot become {to}")]
    WrongCampaignState {
        /// The campaign.
        campaign: CampaignId,
        /// The state that it is in.
        from: CampaignState,
        /// The state that was asked for.
        to: CampaignState,
    },
    /// Somebody resumes a halted rollout who has not seen all that failed.
    #[error(
        "rollout {rollout} has {failures} failures by now, and {acknowledged} were acknowledged: look at its gate again \
         before you resume it"
    )]
    FailuresGrew {
        /// The rollout that was named.
        rollout: RolloutId,
        /// What the caller has seen.
        acknowledged: u64,
        /// What its gate has counted.
        failures: u64,
    },
    /// Too many rollouts would serve one package side by side.
    #[error(
        "{package} already has {limit} rollouts that serve side by side; end some of them, or promote without keep_previous"
    )]
    TooManyServing {
        /// The package.
        package: String,
        /// The bound, [`crate::MAX_SERVING`].
        limit: usize,
    },
}

impl Error {
    /// A value's form is wrong.
    pub fn invalid(field: &'static str, fault: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            fault: fault.into(),
        }
    }

    /// The field at fault, by its name in the protocol, where a value is.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Invalid { field, .. } => Some(field),
            Self::Audience { .. } => Some("audience"),
            _ => None,
        }
    }

    /// The stable name that clients may act on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } | Self::Audience { .. } => "invalid_argument",
            Self::NoCurrentBuild { .. } => "no_current_build",
            Self::NotServing { .. } => "not_serving",
            Self::SeveralServing { .. } => "several_serving",
            Self::RolloutEnded { .. } => "rollout_ended",
            Self::RevisionMismatch { .. } => "revision_mismatch",
            Self::StepMismatch { .. } => "step_mismatch",
            Self::PartOfExperiment { .. } => "part_of_experiment",
            Self::ExperimentEnded { .. } => "experiment_ended",
            Self::TakesBackAnother { .. } => "takes_back_another",
            Self::NotCurrent { .. } => "not_current",
            Self::NoPredecessor { .. } => "no_predecessor",
            Self::SignerMismatch { .. } => "signer_mismatch",
            Self::WrongState { .. } | Self::NotActive { .. } | Self::WrongCampaignState { .. } => {
                "wrong_state"
            }
            Self::NoPlan { .. } => "no_plan",
            Self::PlanDone { .. } => "plan_done",
            Self::ApprovalRequired { .. } => "approval_required",
            Self::OwnApproval { .. } => "own_approval",
            Self::NothingToApprove { .. } => "nothing_to_approve",
            Self::ApprovalUnsupported { .. } => "approval_unsupported",
            Self::FailuresGrew { .. } => "failures_grew",
            Self::TooManyServing { .. } => "too_many_serving",
        }
    }
}

fn list(rollouts: &[RolloutId]) -> String {
    let numbers: Vec<String> = rollouts.iter().map(ToString::to_string).collect();
    numbers.join(", ")
}
