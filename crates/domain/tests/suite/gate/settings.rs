//! What an operator may ask of a gate.

use serde_json::json;
use tidegate_domain::Percent;
use tidegate_domain::gate::{
    GateMode, GateSettings, SMALL_FLEET, SMALL_FLEET_STEPS, StepWeights, Tolerance, small_fleet_shares,
};

#[test]
fn a_gate_reads_as_it_is_written() {
    let written = json!({"mode": "act", "failed_percent": 2.0, "corrupt_percent": 0.2, "lost": true,
        "crashing": true, "holdback": false});
    let gate: GateSettings = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(gate, GateSettings::default());
    assert_eq!(serde_json::to_value(gate).unwrap(), written);
    assert_eq!(serde_json::from_value::<GateSettings>(json!({})).unwrap(), gate);
    let watching: GateSettings =
        serde_json::from_value(json!({"mode": "watch", "failed_percent": 5})).unwrap();
    assert_eq!(watching.mode, GateMode::Watch);
    assert_eq!(watching.failed_percent.fraction(), 0.05);
}

#[test]
fn what_is_no_gate_is_refused_by_the_name_of_the_field() {
    for (written, told) in [
        (
            json!({"failed_percent": 0}),
            "gate.failed_percent must be from 0.01 to 50, not 0",
        ),
        (
            json!({"failed_percent": 50.01}),
            "gate.failed_percent must be from 0.01 to 50",
        ),
        (
            json!({"corrupt_percent": 0.125}),
            "gate.corrupt_percent may have up to two decimals",
        ),
        (
            json!({"corrupt_percent": -1}),
            "gate.corrupt_percent must be from",
        ),
        (json!({"mode": "stop"}), "unknown variant `stop`"),
        (json!({"silence": true}), "unknown field `silence`"),
    ] {
        let refusal = serde_json::from_value::<GateSettings>(written)
            .unwrap_err()
            .to_string();
        assert!(refusal.contains(told), "{refusal}");
    }
    assert!(Tolerance::of_percent("gate.failed_percent", f64::NAN).is_err());
}

#[test]
fn a_tolerance_is_exact_to_the_hundredth() {
    for hundredths in 1..=5_000_u32 {
        let percent = f64::from(hundredths) / 100.0;
        let tolerance = Tolerance::of_percent("tolerance", percent).unwrap();
        assert_eq!(tolerance.as_percent(), percent);
        assert_eq!(tolerance.of(10_000), u64::from(hundredths));
        assert_eq!(tolerance.of(9_999), u64::from(hundredths - 1));
    }
    assert_eq!(Tolerance::FAILED.of(u64::MAX), u64::MAX / 50);
}

#[test]
fn steps_that_have_begun_keep_their_weight() {
    let mut weights = StepWeights::equal(4).unwrap();
    weights.change(2, 6).unwrap();
    let all = |weights: &StepWeights| {
        (0..weights.steps())
            .map(|step| weights.of(step))
            .collect::<Vec<_>>()
    };
    assert_eq!(all(&weights), [0.25, 0.25, 0.125, 0.125, 0.125, 0.125]);
    weights.change(4, 4).unwrap();
    assert_eq!(all(&weights), [0.25, 0.25, 0.125, 0.125]);
    weights.change(4, 5).unwrap();
    assert_eq!(
        weights.of(4),
        0.25,
        "what was taken out is there for what comes later"
    );
    assert!(weights.change(5, 6).is_err(), "all of the bet is placed");
    assert!(weights.change(5, 4).is_err(), "a step that has begun stays");
    assert_eq!(weights.steps(), 5, "a refusal changes nothing");
    weights.change(5, 5).unwrap();
    assert_eq!(weights.of(4), 0.25, "what stays as it is needs nothing to share");
    assert!(StepWeights::equal(0).is_err() && StepWeights::equal(101).is_err());
}

#[test]
fn a_small_fleet_has_up_to_three_steps_of_ten_devices() {
    for devices in 1..SMALL_FLEET {
        let shares = small_fleet_shares(devices);
        assert!(shares.len() as u64 <= SMALL_FLEET_STEPS && !shares.is_empty());
        assert_eq!(*shares.last().unwrap(), Percent::EVERYBODY);
        let ends: Vec<_> = shares
            .iter()
            .map(|share| share.as_decimal() * devices as f64 / 100.0)
            .collect();
        if devices >= 10 {
            let mut before = 0.0;
            for end in ends {
                // A share is rounded to a hundredth of a percent.
                assert!(end - before >= 9.94, "{devices}: {shares:?}");
                before = end;
            }
        }
    }
    assert_eq!(small_fleet_shares(19).len(), 1);
    assert_eq!(small_fleet_shares(40).len(), 3);
    assert!(small_fleet_shares(0).is_empty() && small_fleet_shares(SMALL_FLEET).is_empty());
}
