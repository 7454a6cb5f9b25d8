//! Names that travel, bounds on what devices say, and the few sums.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use serde::Serialize;
use tidegate_domain::{
    Build, BuildId, CampaignId, CampaignState, DeploymentStats, Error, Reason, ReportStatus, Role, RolloutId,
    RolloutState,
};

use crate::fleet::build;

/// A name is written and read alike by `Display`, `FromStr` and JSON.
fn assert_named<T>(all: &[T])
where
    T: Display + FromStr<Err = Error> + Serialize + PartialEq + Debug,
{
    for value in all {
        let name = value.to_string();
        assert_eq!(T::from_str(&name).as_ref(), Ok(value));
        assert_eq!(serde_json::to_value(value).unwrap(), name.as_str());
        assert!(T::from_str(&name.to_uppercase()).is_err());
    }
    assert!(T::from_str("").is_err());
}

#[test]
fn each_value_has_one_name_everywhere() {
    assert_named(&RolloutState::ALL);
    assert_named(&ReportStatus::ALL);
    assert_named(&Role::ALL);
    for reason in Reason::ALL {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        assert_eq!(reason.to_string(), reason.as_str());
    }
}

#[test]
fn a_role_may_do_what_the_ones_before_it_may() {
    assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
}

#[test]
fn an_unknown_status_is_refused_with_those_that_are_known() {
    let refused = ReportStatus::from_str("installed").unwrap_err().to_string();
    for status in ReportStatus::ALL {
        assert!(refused.contains(status.as_str()), "{refused}");
    }
}

#[test]
fn adoption_is_the_share_of_those_who_were_offered_the_build() {
    let stats = |total_eligible, installs_success| DeploymentStats {
        total_eligible,
        installs_success,
        ..DeploymentStats::default()
    };
    assert!((stats(8, 2).adoption_rate() - 25.0).abs() < f64::EPSILON);
    assert!((stats(3, 3).adoption_rate() - 100.0).abs() < f64::EPSILON);
    assert!(
        stats(0, 0).adoption_rate().abs() < f64::EPSILON,
        "nobody is no division by zero"
    );
}

#[test]
fn a_build_reads_back_from_its_json() {
    let build = build(7);
    let json = serde_json::to_string(&build).unwrap();
    assert_eq!(serde_json::from_str::<Build>(&json).unwrap(), build);
}

#[test]
fn every_refusal_has_a_stable_code_and_names_its_input() {
    let package = || "com.example.app".to_owned();
    let (build, to) = (BuildId(71), BuildId(72));
    let table = [
        (
            Error::invalid("salt", "is odd"),
            "invalid_argument",
            "salt is odd",
        ),
        (
            Error::NoCurrentBuild { package: package() },
            "no_current_build",
            "com.example.app",
        ),
        (Error::NotServing { build }, "not_serving", "build 71"),
        (
            Error::SeveralServing {
                build,
                rollouts: vec![RolloutId(8), RolloutId(9)],
            },
            "several_serving",
            "build 71 is offered by several rollouts (8, 9)",
        ),
        (Error::NotCurrent { build }, "not_current", "build 71"),
        (
            Error::NoPredecessor {
                package: package(),
                build,
            },
            "no_predecessor",
            "build 71 is the first that com.example.app released",
        ),
        (
            Error::SignerMismatch { from: build, to },
            "signer_mismatch",
            "build 72 is not signed by the signer of build 71",
        ),
        (
            Error::WrongState {
                build,
                from: RolloutState::Halted,
                to: RolloutState::Paused,
            },
            "wrong_state",
            "the rollout of build 71 is halted and cannot become paused",
        ),
        (
            Error::WrongCampaignState {
                campaign: CampaignId(7),
                from: CampaignState::Completed,
                to: CampaignState::Paused,
            },
            "wrong_state",
            "campaign 7 is completed and cannot become paused",
        ),
        (
            Error::TooManyServing {
                package: package(),
                limit: 8,
            },
            "too_many_serving",
            "com.example.app already has 8 rollouts",
        ),
    ];
    for (refusal, code, words) in table {
        assert_eq!(refusal.code(), code);
        assert!(refusal.to_string().contains(words), "{refusal}");
    }
}
