//! What an explanation tells an operator.

use tidegate_domain::{
    Audience, Build, BuildSteps, Catalog, Plan, PlanStep, Promotion, Span, decide_until, explain,
};

use crate::fleet::{IN_23_PERCENT, Phone, at, build, catalog_with, percent, phone, release, version, with};
use crate::store::{Store, to};

#[test]
fn an_explanation_says_what_each_rule_saw() {
    let catalog = crate::fleet::catalog(vec![with(release(build(2)), |spec| {
        spec.settings.percent = percent(10);
        spec.settings.salt = None;
    })]);
    let explanation = explain(&catalog, &phone(IN_23_PERCENT, 10).poll(), at(0));
    let last = explanation.steps.last().unwrap();
    assert_eq!((last.rule, last.passed), ("cohort", false));
    assert_eq!(
        last.answer,
        "the device's position, 22.632250 %, is not in the first 10 % of 100 % from 0 % on"
    );
    assert_eq!((last.rollout.unwrap().0, last.build.unwrap().0), (2, 2));
    let inputs: Vec<_> = last
        .inputs
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_str()))
        .collect();
    assert_eq!(
        inputs,
        [
            ("position", "22632250"),
            ("cohort", "22"),
            ("rollout_percent", "10"),
            ("slice", "100 % from 0 % on"),
            ("salt", "")
        ]
    );
    let json = serde_json::to_value(&explanation.steps).unwrap();
    assert_eq!(json[0]["rule"], "current_rollout");
    assert_eq!(json[0]["rollout"], serde_json::Value::Null);
}

#[test]
fn an_explanation_tells_one_refusal_from_another() {
    let takes_back = |taken| {
        let current = with(release(build(2)), |spec| spec.takes_back = taken);
        catalog_with(vec![current], &[build(3)])
    };
    let words = |taken: Option<i64>, phone: &Phone, rule: &str| {
        let catalog = takes_back(taken.map(version));
        let explanation = explain(&catalog, &phone.poll(), at(0));
        let mut steps = explanation.steps.into_iter();
        steps.find(|step| step.rule == rule).unwrap().answer
    };
    let on = |installed| phone(IN_23_PERCENT, installed);
    let cooling_down = on(0).rejects(2, 1, Some(3_600));
    assert!(words(None, &cooling_down, "rejection").contains("until 1970-01-01T01:00:00Z"));
    assert!(words(None, &on(0).gave_up(2, 1), "rejection").contains("retry_failed"));
    assert!(words(None, &on(0), "rejection").contains("has not given this build up"));
    assert!(words(None, &on(10), "version").contains("older version"));
    assert!(words(None, &on(20), "version").contains("already runs"));
    assert!(words(None, &on(30), "version").contains("takes nobody back"));
    let forced = words(Some(30), &on(30), "forced_roll_back");
    assert!(forced.contains("whatever its share and audience"), "{forced}");
    let unknown = words(Some(99), &on(99), "forced_roll_back");
    assert!(unknown.contains("signer"), "{unknown}");
}

/// What a rule answers; none where it is not asked.
fn answer_of(catalog: &Catalog, phone: &Phone, rule: &str) -> Option<String> {
    let steps = explain(catalog, &phone.poll(), at(0)).steps;
    steps
        .into_iter()
        .find(|step| step.rule == rule)
        .map(|step| step.answer)
}

#[test]
fn an_explanation_says_whether_the_api_level_suffices() {
    let catalog = crate::fleet::catalog(vec![release(build(2))]);
    let on = |sdk| answer_of(&catalog, &phone(IN_23_PERCENT, 10).sdk(sdk), "sdk").unwrap();
    assert_eq!(on(21), "the API level suffices or is not stated");
    assert_eq!(on(20), "the API level is too low");
}

#[test]
fn an_explanation_tells_a_device_outside_of_an_audience_from_one_that_says_too_little() {
    let audience = Audience::parse(r#"region == "north" && sdk >= 30"#).unwrap();
    let catalog = crate::fleet::catalog(vec![with(release(build(2)), |spec| {
        spec.settings.audience = audience;
    })]);
    let said = |phone: Phone| answer_of(&catalog, &phone, "audience").unwrap();
    let device = || phone(IN_23_PERCENT, 10);
    assert_eq!(said(device().region("north").sdk(30)), "the device is addressed");
    let silent = "the device does not state enough to be certainly addressed";
    assert_eq!(said(device().region("north")), silent);
    let outside = "the device is not addressed";
    assert_eq!(said(device().region("south").sdk(30)), outside);
    assert_eq!(said(device().region("south")), outside, "whatever its level is");
}

#[test]
fn an_explanation_shows_the_lists_of_a_device_as_they_are_compared() {
    let audience = Audience::parse(r#""lab" in tags && "till" in device_tags && "x86" in abi"#).unwrap();
    let catalog = crate::fleet::catalog(vec![with(release(build(2)), |spec| {
        spec.settings.audience = audience;
    })]);
    let mut device = phone(IN_23_PERCENT, 10)
        .tagged(&["lab", "north"])
        .abis("x86, arm64-v8a");
    device.facts.tags = Some("till,,slow".into());
    let steps = explain(&catalog, &device.poll(), at(0)).steps;
    let step = steps.iter().find(|step| step.rule == "audience").unwrap();
    let told = format!("{:?}", step.inputs);
    for list in ["lab, north", "till, slow", "x86, arm64-v8a"] {
        assert!(told.contains(list), "{told}");
    }
}

#[test]
fn an_explanation_says_where_a_device_goes_on_its_way() {
    let from = |min_from_version: i64, barrier| BuildSteps {
        barrier,
        min_from_version: Some(version(min_from_version)),
    };
    let of = |id, steps| Build { steps, ..build(id) };
    let said = |released, stored: &[Build], installed| {
        let catalog = catalog_with(vec![release(released)], stored);
        answer_of(&catalog, &phone(IN_23_PERCENT, installed), "intermediate")
    };
    let young = || of(5, from(30, false));
    assert_eq!(
        said(young(), &[], 29).unwrap(),
        "the next build is not for devices that run so old a version"
    );
    assert_eq!(
        said(young(), &[], 30).unwrap(),
        "the device may go to the released build at once"
    );
    let barrier = || of(4, from(20, true));
    assert_eq!(
        said(build(5), &[barrier()], 20).unwrap(),
        "the device takes the next build first"
    );
    assert_eq!(
        said(build(5), &[barrier()], 19).unwrap(),
        "the next build is not for devices that run so old a version"
    );
    let last = Build {
        steps: BuildSteps {
            barrier: true,
            min_from_version: None,
        },
        ..build(5)
    };
    assert_eq!(
        said(last, &[], 20),
        None,
        "the released build is no step on the way to itself"
    );
}

/// Two ramps above the base reach a device at their own times; it asks again at the earlier one, whichever is asked first.
#[test]
fn a_device_asks_again_when_the_first_of_its_ramps_reaches_it() {
    let ramp = |hours| {
        let step = PlanStep {
            over: Span::hours(hours),
            ..PlanStep::to(percent(100), Span::NONE)
        };
        Promotion {
            plan: Some(Plan::new(vec![step]).unwrap()),
            ..to(1)
        }
    };
    let reached_after = |hours: [u16; 2]| {
        let mut store = Store::with_builds(3);
        store.release_to(1, 100);
        store.create(2, 20, ramp(hours[0])).unwrap();
        store.create(3, 10, ramp(hours[1])).unwrap();
        let catalog = store.catalog();
        let device = phone(IN_23_PERCENT, 10);
        decide_until(&catalog, &device.poll(), at(0)).again.unwrap().at
    };
    let alone = reached_after([10, 10]);
    assert_eq!(reached_after([10, 20]), alone);
    assert_eq!(reached_after([20, 10]), alone);
    assert!(reached_after([20, 20]) > alone);
}
