//! What an explanation tells an operator.

use tidegate_domain::{Catalog, PollRequest, Rejection, explain};

use crate::decision::gave_up;
use crate::fleet::{IN_23_PERCENT, at, build, catalog, percent, poll, release, with};

#[test]
fn an_explanation_says_what_each_rule_saw() {
    let catalog = catalog(vec![with(release(build(2)), |spec| {
        spec.settings.percent = percent(10);
        spec.settings.salt = None;
    })]);
    let explanation = explain(&catalog, &poll(IN_23_PERCENT, 10), at(0));
    let last = explanation.steps.last().unwrap();
    assert_eq!((last.rule, last.passed), ("cohort", false));
    assert_eq!(last.answer, "bucket 2263 is not below 1000");
    assert_eq!((last.rollout.unwrap().0, last.build.unwrap().0), (2, 2));
    let inputs: Vec<_> = last
        .inputs
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    assert_eq!(
        inputs,
        [
            ("bucket", "2263"),
            ("cohort", "22"),
            ("rollout_percent", "10"),
            ("salt", "")
        ]
    );
    let json = serde_json::to_value(&explanation.steps).unwrap();
    assert_eq!(json[0]["rule"], "current_rollout");
    assert_eq!(json[0]["rollout"], serde_json::Value::Null);
}

#[test]
fn an_explanation_tells_one_refusal_from_another() {
    let rests = [Rejection {
        until: Some(at(3_600)),
        ..gave_up(2, 1)
    }];
    let forever = [gave_up(2, 1)];
    let catalog_of = |force| {
        catalog(vec![with(release(build(2)), |spec| {
            spec.settings.force_downgrade = force;
        })])
    };
    let words = |catalog: &Catalog, request: &PollRequest<'_>| {
        explain(catalog, request, at(0))
            .steps
            .last()
            .unwrap()
            .answer
            .clone()
    };
    let [plain, forced] = [false, true].map(catalog_of);
    let resting = PollRequest {
        rejections: &rests,
        ..poll(IN_23_PERCENT, 0)
    };
    assert!(words(&plain, &resting).contains("rests until 1970-01-01T01:00:00Z"));
    let done = PollRequest {
        rejections: &forever,
        ..resting
    };
    assert!(words(&plain, &done).contains("retry_failed"));
    assert!(words(&plain, &poll(IN_23_PERCENT, 20)).contains("already runs"));
    assert!(words(&plain, &poll(IN_23_PERCENT, 30)).contains("downgrades are not forced"));
    assert!(words(&forced, &poll(IN_23_PERCENT, 30)).contains("not known to have the same signer"));
}
