//! What an explanation tells an operator.

use tidegate_domain::explain;

use crate::fleet::{IN_23_PERCENT, Phone, at, build, catalog_with, percent, phone, release, version, with};

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
