//! Names that travel, bounds on what devices say, and the few sums.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use serde::Serialize;
use tidegate_domain::{
    Build, DeploymentStats, DeviceAttributes, Error, MAX_ATTRIBUTE_BYTES, MAX_TAGS, Reason, ReportStatus,
    Role, RolloutState,
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
fn what_a_device_says_of_itself_is_bounded() {
    let longest = || Some("a".repeat(MAX_ATTRIBUTE_BYTES));
    let good = DeviceAttributes {
        alias: longest(),
        model: longest(),
        manufacturer: longest(),
        sdk: Some(36),
        android_version: longest(),
        region: longest(),
        tags: vec!["t".to_owned(); MAX_TAGS],
    };
    assert_eq!(good.check(), Ok(()));
    type Edit = fn(&mut DeviceAttributes);
    let edits: [(&str, Edit); 7] = [
        ("alias", |device| device.alias.as_mut().unwrap().push('a')),
        ("model", |device| device.model.as_mut().unwrap().push('a')),
        ("manufacturer", |device| {
            device.manufacturer.as_mut().unwrap().push('a');
        }),
        ("android_version", |device| {
            device.android_version.as_mut().unwrap().push('a');
        }),
        ("region", |device| device.region.as_mut().unwrap().push('a')),
        ("tags", |device| device.tags.push("t".to_owned())),
        ("tags", |device| {
            device.tags[0] = "t".repeat(MAX_ATTRIBUTE_BYTES + 1);
        }),
    ];
    for (name, edit) in edits {
        let mut device = good.clone();
        edit(&mut device);
        let refused = device.check();
        assert!(
            matches!(refused, Err(Error::Invalid { field, .. }) if field == name),
            "{refused:?}"
        );
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
    let refusal = Error::WrongState {
        build: tidegate_domain::BuildId(7),
        from: RolloutState::Halted,
        to: RolloutState::Paused,
    };
    assert_eq!(refusal.code(), "wrong_state");
    assert_eq!(
        refusal.to_string(),
        "the rollout of build 7 is halted and cannot become paused"
    );
}
