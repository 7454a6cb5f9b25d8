//! What a rollout asks of devices before they install, and how it is changed and told.

use std::collections::BTreeSet;

use tidegate_domain::{
    Catalog, DeferReason, Error, InstallCondition, InstallTerms, InstallTermsEdit, PollRequest, RolloutEdit,
    explain,
};

use crate::fleet::{IN_23_PERCENT, Phone, at, build, catalog, phone, release, with};
use crate::store::{BY_ADA, Store, to};

fn conditions(names: &str) -> BTreeSet<InstallCondition> {
    InstallTerms::parse_conditions(names).unwrap()
}

fn terms(names: &str, deadline: Option<i64>) -> InstallTerms {
    InstallTerms {
        when: conditions(names),
        deadline: deadline.map(at),
    }
}

#[test]
fn conditions_are_read_as_they_are_written() {
    for (text, written) in [
        ("", ""),
        ("charging", "charging"),
        ("idle,charging", "charging,idle"),
        (" app_consents , idle ,, idle", "idle,app_consents"),
        ("app_consents,idle,charging", "charging,idle,app_consents"),
    ] {
        let read = terms(text, None);
        assert_eq!(read.conditions(), written, "{text:?}");
        assert_eq!(conditions(&read.conditions()), read.when);
    }
    for wrong in [
        "Charging",
        "charging;idle",
        "moon_is_full",
        "charging,moon_is_full",
    ] {
        let fault = InstallTerms::parse_conditions(wrong).unwrap_err();
        assert!(matches!(&fault, Error::Invalid { .. }), "{fault}");
        assert!(fault.to_string().contains("install_when"), "{fault}");
    }
}

#[test]
fn each_condition_has_its_own_deferral() {
    let deferrals = InstallCondition::ALL.map(InstallCondition::deferral);
    let expected = [
        DeferReason::NotCharging,
        DeferReason::NotIdle,
        DeferReason::NoConsent,
    ];
    assert_eq!(deferrals, expected);
    for condition in InstallCondition::ALL {
        assert_eq!(condition.as_str().parse(), Ok(condition));
        assert_eq!(serde_json::to_value(condition).unwrap(), condition.as_str());
    }
}

#[test]
fn a_deadline_has_passed_from_its_very_moment_on() {
    for (deadline, now, past) in [
        (None, 0, false),
        (Some(10), 9, false),
        (Some(10), 10, true),
        (Some(10), 11, true),
    ] {
        assert_eq!(
            terms("", deadline).is_past(at(now)),
            past,
            "{deadline:?} at {now}"
        );
    }
}

/// They stand beside the other settings, and where there are none nothing is written: older records read the same.
#[test]
fn the_audit_log_has_the_terms_where_there_are_any() {
    let mut settings = to(10).settings;
    let plain = serde_json::to_value(&settings).unwrap();
    assert!(plain.get("install_when").is_none() && plain.get("install_deadline").is_none());
    assert_eq!(
        serde_json::from_value::<tidegate_domain::RolloutSettings>(plain).unwrap(),
        settings
    );
    settings.install = terms("charging,idle", Some(0));
    let told = serde_json::to_value(&settings).unwrap();
    assert_eq!(told["install_when"], serde_json::json!(["charging", "idle"]));
    assert_eq!(told["install_deadline"], "1970-01-01T00:00:00Z");
}

#[test]
fn an_edit_changes_what_it_names() {
    let mut store = Store::with_builds(1);
    let mut promotion = to(100);
    promotion.settings.install = terms("charging", Some(60));
    store.create(1, 5, promotion).unwrap();
    let mut edited = |install: InstallTermsEdit| {
        let seen = store.rollouts[0].spec.revision;
        let id = store.rollouts[0].id;
        let edit = RolloutEdit {
            install,
            ..RolloutEdit::default()
        };
        store
            .run(|track| track.edit(id, edit.clone(), seen, BY_ADA))
            .unwrap();
        store.rollouts[0].spec.settings.install.clone()
    };
    let to_idle = InstallTermsEdit {
        when: Some(conditions("idle")),
        ..InstallTermsEdit::default()
    };
    assert_eq!(edited(to_idle), terms("idle", Some(60)));
    let later = InstallTermsEdit {
        deadline: Some(Some(at(90))),
        ..InstallTermsEdit::default()
    };
    assert_eq!(edited(later), terms("idle", Some(90)));
    assert_eq!(edited(InstallTermsEdit::default()), terms("idle", Some(90)));
    let without_deadline = InstallTermsEdit {
        deadline: Some(None),
        ..InstallTermsEdit::default()
    };
    assert_eq!(edited(without_deadline), terms("idle", None));
    let without_conditions = InstallTermsEdit {
        when: Some(BTreeSet::new()),
        ..InstallTermsEdit::default()
    };
    assert_eq!(edited(without_conditions), InstallTerms::default());
}

#[test]
fn the_same_rollout_with_other_terms_is_another_one() {
    let mut store = Store::with_builds(1);
    let mut promotion = to(100);
    promotion.settings.install = terms("charging", None);
    store.create(1, 5, promotion.clone()).unwrap();
    assert!(
        store.create(1, 5, promotion.clone()).unwrap().is_empty(),
        "it is there already"
    );
    promotion.settings.install = terms("charging", Some(60));
    assert!(!store.create(1, 5, promotion).unwrap().is_empty());
}

fn told(catalog: &Catalog, request: &PollRequest<'_>, now: i64) -> Option<String> {
    let explanation = explain(catalog, request, at(now));
    let mut steps = explanation.steps.into_iter();
    steps.find(|step| step.rule == "install_terms").map(|step| {
        assert!(step.passed, "they keep no device from being offered the build");
        step.answer
    })
}

#[test]
fn an_explanation_tells_what_the_device_waits_for() {
    let offering = |install: InstallTerms| {
        catalog(vec![with(release(build(2)), |spec| {
            spec.settings.install = install;
        })])
    };
    let knows = |installed| {
        let mut phone = phone(IN_23_PERCENT, installed);
        phone.facts.protocol = 2;
        phone
    };
    let words = |install: InstallTerms, phone: &Phone| told(&offering(install), &phone.poll(), 100);
    assert_eq!(words(InstallTerms::default(), &knows(10)), None);
    assert_eq!(words(terms("idle", None), &knows(20)), None, "nothing is offered");
    for (install, answer) in [
        (
            terms("charging,idle", None),
            "the device installs while charging and idle holds",
        ),
        (
            terms("charging", Some(200)),
            "the device installs while charging holds, and from 1970-01-01T00:03:20Z on at once",
        ),
        (
            terms("charging", Some(100)),
            "the deadline 1970-01-01T00:01:40Z has passed: the device no longer waits for charging",
        ),
        (
            terms("", Some(200)),
            "the device installs as soon as it has fetched the file and its safety rules allow it",
        ),
    ] {
        assert_eq!(words(install, &knows(10)).as_deref(), Some(answer));
    }
    let older = words(terms("charging", None), &phone(IN_23_PERCENT, 10)).unwrap();
    assert!(older.contains("older"), "{older}");
}

#[test]
fn a_deadline_is_taken_that_lies_ahead_and_no_other() {
    for (deadline, field) in [(0, Some("install_deadline")), (1, None)] {
        let mut store = Store::with_builds(2);
        store.release_to(1, 100);
        let mut promotion = to(10);
        promotion.settings.install = terms("", Some(deadline));
        let made = store.create(2, 5, promotion);
        assert_eq!(made.err().and_then(|fault| fault.field()), field, "made at 0");
        let edit = RolloutEdit {
            install: InstallTermsEdit {
                deadline: Some(Some(at(deadline))),
                ..InstallTermsEdit::default()
            },
            ..RolloutEdit::default()
        };
        let first = store.rollouts[0].id;
        let edited = store.run(|track| track.edit(first, edit, 1, BY_ADA));
        assert_eq!(edited.err().and_then(|fault| fault.field()), field, "edited at 0");
    }
}
