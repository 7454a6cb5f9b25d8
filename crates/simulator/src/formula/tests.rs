use serde_json::json;

use super::*;
use crate::device_rng::DeviceRng;
use crate::population::Population;
use crate::release_plan::ReleasePlan;

const COHORTS: &str = include_str!("../../../domain/tests/vectors/cohort.json");
const LANES: &str = include_str!("../../../domain/tests/vectors/lane.json");

#[test]
fn devices_fall_where_the_vectors_say() {
    #[derive(serde::Deserialize)]
    struct Cohorts {
        unsalted: Vec<Bucket>,
        salted: Vec<Bucket>,
    }
    #[derive(serde::Deserialize)]
    struct Bucket {
        device_id: String,
        salt: Option<String>,
        bucket: u64,
    }
    let cohorts: Cohorts = serde_json::from_str(COHORTS).unwrap();
    assert!(cohorts.unsalted.len() > 30 && cohorts.salted.len() > 5);
    for vector in cohorts.unsalted.iter().chain(&cohorts.salted) {
        let found = position(&vector.device_id, vector.salt.as_deref());
        assert_eq!(found / 10_000, vector.bucket, "{}", vector.device_id);
    }
}

#[test]
fn slices_take_whom_the_vectors_say() {
    #[derive(serde::Deserialize)]
    struct Lanes {
        positions: Vec<Place>,
        slices: Vec<Lane>,
    }
    #[derive(serde::Deserialize)]
    struct Place {
        device_id: String,
        salt: Option<String>,
        position: u64,
    }
    #[derive(serde::Deserialize)]
    struct Lane {
        device_id: String,
        start: f64,
        width: f64,
        share: f64,
        takes: bool,
    }
    let lanes: Lanes = serde_json::from_str(LANES).unwrap();
    assert!(lanes.positions.len() > 100 && lanes.slices.len() > 100);
    for place in &lanes.positions {
        let found = position(&place.device_id, place.salt.as_deref());
        assert_eq!(found, place.position, "{}", place.device_id);
    }
    for lane in &lanes.slices {
        let slice = Slice {
            start: lane.start / 1e6,
            width_percent: lane.width / 1e6,
        };
        let found = is_within(position(&lane.device_id, None), Some(slice), lane.share / 1e6);
        assert_eq!(found, lane.takes, "{}", lane.device_id);
    }
}

#[test]
fn what_release_plans_make_is_understood_and_nothing_else() {
    let tagged = |tag: &str| Condition::Tagged(tag.to_owned());
    let region = |names: &[&str]| Condition::InRegion(names.iter().map(|name| (*name).to_owned()).collect());
    let model = |name: &str| Condition::OfModel(vec![name.to_owned()]);
    for (text, expected) in [
        ("\"canary\" in tags", vec![tagged("canary")]),
        ("region == \"eu && north\"", vec![region(&["eu && north"])]),
        (
            "region in [\"a\", \"b\"] && model in [\"Buoy 4\"]&&\"lab\" in tags",
            vec![region(&["a", "b"]), model("Buoy 4"), tagged("lab")],
        ),
    ] {
        assert_eq!(read_conditions(text), Some(expected), "{text}");
    }
    for text in [
        "",
        "true",
        "sdk >= 30",
        "region != \"a\"",
        "region == \"a\" || region == \"b\"",
        "!(\"canary\" in tags)",
        "\"canary\" in device_tags",
        "region == \"a\\\"b\"",
        "region in []",
        "region == \"a\" &&",
        "region == \"a\" \"b\" in tags",
    ] {
        assert_eq!(read_conditions(text), None, "{text}");
    }
}

/// A base of version 1 for all, and version 2 for canaries and half of the north.
fn serving(overlays: Overlays) -> Serving {
    let rollouts = json!([
        { "rollout_id": 3, "build_id": 2, "state": "active", "is_current": false, "priority": 100, "revision": 1,
          "rollout_percent": 50, "audience": { "expression": "region == \"eu-north\"" } },
        { "rollout_id": 2, "build_id": 2, "state": "paused", "is_current": false, "priority": 200, "revision": 1,
          "rollout_percent": 100, "audience": { "expression": "\"canary\" in tags" } },
        { "rollout_id": 1, "build_id": 1, "state": "active", "is_current": true, "priority": 0, "revision": 1,
          "rollout_percent": 100 },
        { "rollout_id": 0, "build_id": 1, "state": "superseded", "is_current": false, "priority": 0, "revision": 1,
          "rollout_percent": 100, "audience": { "expression": "sdk > 1" } },
    ]);
    let rollouts: Vec<Rollout> = serde_json::from_value(rollouts).unwrap();
    let build = |id: i64| {
        let build = json!({ "build_id": id, "version_code": id, "version_name": "", "signer_fingerprint": "",
                            "min_sdk": 1 });
        (id, serde_json::from_value::<Build>(build).unwrap())
    };
    let builds = HashMap::from([build(1), build(2)]);
    Serving::of("com.example.app", &rollouts, &builds, Arc::new(overlays)).unwrap()
}

fn world(region: &str) -> World {
    let population = Population::usual().unwrap();
    let mut worlds = (0..500).filter_map(|device| World::of(&population, DeviceRng::new(1, device)));
    worlds.find(|world| world.region.name == region).unwrap()
}

/// Devices in the first half of all, and in the second.
const FIRST: &str = "abc123";
const SECOND: &str = "dev-001";

#[test]
fn rollouts_are_asked_by_priority_and_those_that_stand_end_it() {
    let names = [FIRST.to_owned()];
    let plan =
        ReleasePlan::parse(&crate::release_plan::DEFAULT.replacen("share = 0.05", "share = 1", 1)).unwrap();
    let (plain, tagged) = (serving(Overlays::default()), serving(plan.overlays(1, &names)));
    let (north, west) = (world("eu-north"), world("eu-west"));
    assert_eq!(plain.reaches(FIRST, &north, 1), Some((3, 2)));
    assert_eq!(
        plain.reaches(SECOND, &north, 1),
        None,
        "the base's version is there"
    );
    assert_eq!(plain.reaches(SECOND, &north, 0), Some((1, 1)));
    assert_eq!(plain.reaches(FIRST, &west, 0), Some((1, 1)));
    assert_eq!(tagged.reaches(FIRST, &north, 1), None, "paused for canaries");
}

#[test]
fn an_answer_is_held_to_the_order_of_rollouts() {
    let serving = serving(Overlays::default());
    let north = world("eu-north");
    let asking = |installed| Asking {
        device: FIRST,
        world: &north,
        installed,
    };
    let fault = |installed, answer| serving.contradiction(asking(installed), answer, |_| false);
    assert_eq!(fault(1, Ok((3, 2))), None);
    assert_eq!(fault(2, Err("already_current")), None);
    assert_eq!(fault(1, Err("warming_up")), None);
    let passed_by = fault(0, Ok((1, 1))).unwrap();
    assert!(passed_by.contains("build 1 by rollout 1") && passed_by.ends_with("rollout 3 takes it"));
    assert!(fault(1, Ok((2, 2))).is_some(), "by a rollout that is not meant");
    assert!(
        fault(1, Err("not_in_cohort"))
            .unwrap()
            .contains("rollout 3 takes it")
    );
    assert!(fault(2, Err("above_ceiling")).is_some(), "there is no pin");
    // Whoever failed with it may be passed on, or be asked to try again.
    let after_failing = |answer| serving.contradiction(asking(0), answer, |build| build == 2);
    assert_eq!(after_failing(Ok((1, 1))), None);
    assert_eq!(after_failing(Ok((3, 2))), None);
    assert!(after_failing(Err("rejected_by_device")).is_some());
}

#[test]
fn a_pin_keeps_a_device_below() {
    let pinned = crate::release_plan::DEFAULT.replacen("share = 0.02", "share = 1", 1);
    let plan = ReleasePlan::parse(&pinned).unwrap();
    let serving = serving(plan.overlays(1, &[FIRST.to_owned()]));
    let north = world("eu-north");
    assert_eq!(serving.reaches(FIRST, &north, 0), Some((1, 1)));
    let asking = Asking {
        device: FIRST,
        world: &north,
        installed: 1,
    };
    assert!(serving.contradiction(asking, Ok((3, 2)), |_| false).is_some());
    assert_eq!(
        serving.contradiction(asking, Err("above_ceiling"), |_| false),
        None
    );
}
