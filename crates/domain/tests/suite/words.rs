//! The words in which values are told, and what is looked up by them.

use std::collections::HashMap;

use tidegate_domain::{
    BuildFacts, Catalog, InstallCondition, PatchOutcome, PatchState, Percent, PolicySet, PolicySubject, Tag,
    Verb,
};

use crate::fleet::{PACKAGE, build, catalog, policy, release, with};

#[test]
fn values_are_told_by_their_names() {
    for verb in Verb::ALL {
        assert_eq!(verb.to_string(), verb.as_str());
    }
    for condition in InstallCondition::ALL {
        assert_eq!(condition.to_string(), condition.as_str());
    }
    for outcome in PatchOutcome::ALL {
        assert_eq!(outcome.to_string(), outcome.as_str());
    }
    for state in PatchState::ALL {
        assert_eq!(state.to_string(), state.as_str());
    }
}

#[test]
fn a_tag_is_its_text() {
    let tag = Tag::parse("ring-0").unwrap();
    assert_eq!(
        (tag.to_string(), format!("{tag:?}")),
        ("ring-0".to_owned(), "\"ring-0\"".to_owned())
    );
    let devices = HashMap::from([(tag, 7)]);
    assert_eq!((devices.get("ring-0"), devices.get("ring-1")), (Some(&7), None));
}

#[test]
fn a_version_without_a_name_is_called_by_its_code() {
    let label = |name: &str| {
        let facts = BuildFacts {
            version_name: name.to_owned(),
            ..build(2).facts
        };
        facts.version_label()
    };
    assert_eq!(
        ["1.4.0", " 1.4 ", "", "  "].map(label),
        ["1.4.0", "1.4", "20", "20"]
    );
}

#[test]
fn a_share_that_cannot_be_is_repeated_in_percent() {
    let fault = Percent::of_hundredths(10_001).unwrap_err().to_string();
    assert!(fault.ends_with("not 100.01"), "{fault}");
    let fault = Percent::new(101).unwrap_err().to_string();
    assert!(fault.ends_with("not 101"), "{fault}");
}

#[test]
fn answers_need_the_devices_tags_where_an_audience_or_a_policy_asks_for_them() {
    let plain = || catalog(vec![release(build(2))]);
    let asking = catalog(vec![with(release(build(2)), |spec| {
        spec.settings.audience = tidegate_domain::Audience::parse(r#""lab" in tags"#).unwrap();
    })]);
    let with_policy = |catalog: Catalog, subject, package: Option<&str>| {
        let mut policy = policy(1, subject, Some(10), None);
        policy.spec.package = package.map(|package| tidegate_domain::PackageName::parse(package).unwrap());
        catalog.with_policies(PolicySet::new([policy]))
    };
    let lab = || PolicySubject::Tag("lab".parse().unwrap());
    assert!(!plain().needs_tags(PACKAGE));
    assert!(asking.needs_tags(PACKAGE) && !asking.needs_tags("com.example.other"));
    for (subject, package, needs) in [
        (lab(), None, true),
        (lab(), Some(PACKAGE), true),
        (lab(), Some("com.example.other"), false),
        (PolicySubject::Everybody, None, false),
    ] {
        let told = with_policy(plain(), subject.clone(), package).needs_tags(PACKAGE);
        assert_eq!(told, needs, "{subject} {package:?}");
    }
}
