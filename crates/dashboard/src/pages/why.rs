//! Why a device is offered what it is, in one sentence before all rules.

use chrono::{DateTime, Utc};
use tidegate_domain::{Reason, Step};
use tidegate_service::DeviceExplanation;

use crate::show;

/// The sentence about an explanation.
pub(crate) fn sentence(of: &DeviceExplanation, now: DateTime<Utc>) -> String {
    let Err(reason) = of.outcome else {
        return "Gets it: its next poll is offered this build.".to_owned();
    };
    let share = input(&of.steps, "cohort", "rollout_percent");
    let outside = match share {
        Some(percent) => format!("outside the {percent} % share"),
        None => "outside the share".to_owned(),
    };
    let runs_newest = of.newest.is_some_and(|newest| of.installed >= newest);
    match reason {
        // Asked before its version is, and no news to who has the build.
        Reason::NotInCohort | Reason::Ramping | Reason::HeldBack | Reason::NotInAudience if runs_newest => {
            "Nothing to do: it runs the newest version that is released, though the rollout does not take it."
                .to_owned()
        }
        Reason::NoCurrentBuild => "Nothing to do: the package releases nothing.".to_owned(),
        Reason::AlreadyCurrent => "Nothing to do: it runs the build of the rollout that takes it.".to_owned(),
        Reason::NewerInstalled => {
            "Nothing to do: it runs a newer version than the one that is released.".to_owned()
        }
        Reason::NotInCohort => format!("Waits: {outside}."),
        Reason::Ramping => match of.again {
            Some(at) => format!("Waits: {outside}; the ramp reaches it at {}.", clock(at, now)),
            None => format!("Waits: {outside}; the ramp has not reached it yet."),
        },
        Reason::HeldBack => "Waits: it stays back to compare with until this step's bake ends.".to_owned(),
        Reason::NotInAudience => "Not targeted: the rollout's audience does not take it.".to_owned(),
        Reason::Paused => "Waits: the rollout is paused until somebody resumes it.".to_owned(),
        Reason::Halted => "Waits: the rollout was halted, and somebody has to look at it.".to_owned(),
        Reason::Scheduled => "Waits: the rollout has not begun.".to_owned(),
        Reason::IncompatibleSdk => "Can't: the build does not install at its API level.".to_owned(),
        Reason::IncompatibleAbi => "Can't: the build has no native code for its processor.".to_owned(),
        Reason::RejectedByDevice => {
            "Gave up: it failed with this build and is not asked again. Somebody can let it try again below."
                .to_owned()
        }
        Reason::NeedsIntermediate => "Can't: it must take another build first.".to_owned(),
        Reason::AboveCeiling => "Held: a policy allows it no version this high.".to_owned(),
        Reason::HeldByPolicy => "Held: a policy keeps it from every update.".to_owned(),
        Reason::OutsideWindow => match of.again {
            Some(at) => format!("Waits: outside the window, which opens at {}.", clock(at, now)),
            None => "Waits: outside the window, and no opening is known.".to_owned(),
        },
    }
}

/// A moment to the minute; without the day where that is today.
fn clock(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match at.date_naive() == now.date_naive() {
        true => at.format("%H:%M UTC").to_string(),
        false => format!("{} UTC", show::moment(at)),
    }
}

/// What the last rule of this name that was not passed looked at.
fn input<'a>(steps: &'a [Step], rule: &str, name: &str) -> Option<&'a str> {
    let step = steps
        .iter()
        .rev()
        .find(|step| step.rule == rule && !step.passed)?;
    let found = step.inputs.iter().find(|(input, _)| input == name)?;
    Some(found.1.as_str())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use tidegate_domain::VersionCode;

    use super::*;

    fn explained(reason: Reason, again: Option<DateTime<Utc>>) -> DeviceExplanation {
        let step = Step {
            rollout: None,
            build: None,
            rule: "cohort",
            inputs: vec![("rollout_percent".into(), "10".to_owned())],
            passed: false,
            answer: String::new(),
        };
        DeviceExplanation {
            installed: VersionCode::new(1).unwrap(),
            newest: VersionCode::new(2).ok(),
            outcome: Err(reason),
            steps: vec![step],
            again,
        }
    }

    #[test]
    fn the_sentence_says_what_it_waits_for_and_until_when() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let soon = now + TimeDelta::minutes(5);
        let later = now + TimeDelta::days(1);
        for (reason, again, expected) in [
            (Reason::NotInCohort, None, "Waits: outside the 10 % share."),
            (
                Reason::Ramping,
                Some(soon),
                "Waits: outside the 10 % share; the ramp reaches it at 08:05 UTC.",
            ),
            (
                Reason::OutsideWindow,
                Some(later),
                "Waits: outside the window, which opens at 2027-01-16 08:00 UTC.",
            ),
            (
                Reason::AlreadyCurrent,
                None,
                "Nothing to do: it runs the build of the rollout that takes it.",
            ),
        ] {
            assert_eq!(sentence(&explained(reason, again), now), expected);
        }
        let mut newest = explained(Reason::Ramping, Some(soon));
        newest.installed = VersionCode::new(2).unwrap();
        assert_eq!(
            sentence(&newest, now),
            "Nothing to do: it runs the newest version that is released, though the rollout does not take it."
        );
        for reason in Reason::ALL {
            let told = sentence(&explained(reason, None), now);
            assert!(told.ends_with('.') && told.contains(": "), "{told}");
        }
    }
}
