//! Names that travel, bounds on what devices say, and the few sums.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use serde::Serialize;
use tidegate_domain::{
    Build, BuildId, CampaignId, CampaignState, DeferReason, DeliveryFailure, DeploymentStats, Error,
    NudgeAudience, Priority, Reason, ReportStatus, Role, RolloutId, RolloutState, Sha256, SignerFingerprint,
    SignerRange, Signers,
};

use crate::fleet::{PACKAGE, build, catalog, release};

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
    assert_named(&CampaignState::ALL);
    assert_named(&Priority::ALL);
    assert_named(&NudgeAudience::ALL);
    for reason in DeferReason::ALL {
        assert_eq!(reason.to_string(), reason.as_str());
    }
    for reason in Reason::ALL {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        assert_eq!(reason.to_string(), reason.as_str());
    }
}

/// These are sentences for people, so they are not compared without regard to case.
#[test]
fn a_delivery_failure_is_read_as_it_is_written() {
    for failure in DeliveryFailure::ALL {
        let words = failure.to_string();
        assert_eq!(words.parse(), Ok(failure));
        let json = serde_json::to_value(failure).unwrap();
        assert_eq!(json, words.as_str());
        assert_eq!(serde_json::from_value::<DeliveryFailure>(json).unwrap(), failure);
    }
    let refused = "asleep".parse::<DeliveryFailure>().unwrap_err().to_string();
    assert!(refused.contains("No FCM token, revoked"), "{refused}");
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
fn statistics_are_added_field_by_field() {
    let stats = |factor| DeploymentStats {
        total_checks: factor,
        total_eligible: 2 * factor,
        total_downloads: 3 * factor,
        installs_success: 4 * factor,
        installs_failed: 5 * factor,
        verify_failed: 6 * factor,
    };
    let mut sum = stats(1);
    sum += stats(10);
    assert_eq!(sum, stats(11));
}

#[test]
fn a_build_reads_back_from_its_json() {
    let build = build(7);
    let json = serde_json::to_string(&build).unwrap();
    assert_eq!(serde_json::from_str::<Build>(&json).unwrap(), build);
}

#[test]
fn a_digest_is_written_in_lower_case_and_a_fingerprint_in_upper_case_pairs() {
    let bytes = std::array::from_fn(|at| if at == 0 { 0x0f } else { 0xa1 });
    let digest = format!("0f{}", "a1".repeat(31));
    assert_eq!(Sha256(bytes).to_string(), digest);
    assert_eq!(format!("{:?}", Sha256(bytes)), digest);
    assert_eq!(digest.parse(), Ok(Sha256(bytes)));
    let print = format!("0F{}", ":A1".repeat(31));
    assert_eq!(SignerFingerprint(bytes).to_string(), print);
    assert_eq!(print.parse(), Ok(SignerFingerprint(bytes)));
}

#[test]
fn a_signer_may_be_seen_by_one_api_level_alone() {
    let range = |byte, from_sdk, to_sdk| SignerRange {
        fingerprint: SignerFingerprint([byte; 32]),
        from_sdk,
        to_sdk,
    };
    let ranges = vec![range(1, 24, 32), range(2, 33, 33), range(3, 34, 40)];
    let signers = Signers::new(ranges.clone()).unwrap();
    assert_eq!(signers.ranges(), ranges);
    for (sdk, byte) in [(20, 1), (32, 1), (33, 2), (34, 3), (40, 3), (41, 3)] {
        assert_eq!(signers.seen_by(Some(sdk)), SignerFingerprint([byte; 32]), "{sdk}");
    }
}

#[test]
fn a_catalog_tells_its_tracks() {
    let catalog = catalog(vec![release(build(2))]);
    let packages: Vec<_> = catalog.tracks().map(|track| track.package.as_str()).collect();
    assert_eq!(packages, [PACKAGE]);
    assert_eq!(catalog.track(PACKAGE), catalog.tracks().next());
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
            "com.example.app released nothing that still served when build 71 was promoted",
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
            Error::NotActive {
                build,
                state: RolloutState::Paused,
            },
            "wrong_state",
            "the rollout of build 71 is paused: only an active one",
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
