use super::*;

#[test]
fn the_documented_plan_is_one_and_fits_the_documented_population() {
    let plan = ReleasePlan::usual().unwrap();
    let population = Population::usual().unwrap();
    plan.check_against(&population).unwrap();
    let audiences: Vec<_> = plan.rollouts.iter().map(PlannedRollout::audience).collect();
    let expected = [
        Some("\"canary\" in tags".to_owned()),
        Some("region == \"eu-north\"".to_owned()),
        None,
    ];
    assert_eq!(audiences, expected);
}

#[test]
fn a_plan_that_means_something_else_is_refused_by_name() {
    for (from, to, named) in [
        ("version_code = 2", "version = 2", "version"),
        ("share = 0.05", "share = 5", "tags.share"),
        ("tag = \"lab\"", "tag = \"laboratory\"", "laboratory"),
        ("tag = \"canary\"", "tag = \"canaries\"", "rollouts.tag"),
        ("priority = 200", "priority = 100", "falling priority"),
        ("percent = 12.5", "percent = 125", "rollouts.percent"),
        ("percent = 12.5", "percent = 12.505", "two decimals"),
        ("percent = 12.5", "percent = 0", "rollouts.percent"),
        ("name = \"lab\"", "name = \"Lab/2\"", "tags.name"),
        ("after_h = 12", "after_h = nan", "rollouts.after_h"),
        ("after_h = 12", "after_h = 24", "after_h rises"),
        ("width = 50", "width = -1", "rollouts.slice.width"),
        ("\"eu-north\"", "'eu\"north'", "rollouts.region"),
    ] {
        assert!(DEFAULT.contains(from), "the default has no {from:?}");
        let said = ReleasePlan::parse(&DEFAULT.replacen(from, to, 1)).unwrap_err();
        assert!(said.to_string().contains(named), "{to:?}: {said}");
    }
    for (from, to, named) in [
        ("\"eu-north\"", "\"eu-south\"", "eu-south"),
        ("version_code = 2", "version_code = 1", "version_code"),
    ] {
        let plan = ReleasePlan::parse(&DEFAULT.replacen(from, to, 1)).unwrap();
        let said = plan.check_against(&Population::usual().unwrap()).unwrap_err();
        assert!(said.to_string().contains(named), "{to:?}: {said}");
    }
}

#[test]
fn the_seed_decides_who_has_which_tag() {
    let plan = ReleasePlan::usual().unwrap();
    let names: Vec<String> = (0..2_000).map(|number| format!("sim-{number}")).collect();
    let overlays = plan.overlays(1, &names);
    assert_eq!(overlays, plan.overlays(1, &names));
    assert_ne!(overlays, plan.overlays(2, &names));
    let with = |tag: &str| names.iter().filter(|name| overlays.has_tag(name, tag)).count();
    assert!((60..140).contains(&with("canary")), "{}", with("canary"));
    let pinned = names.iter().filter(|name| overlays.ceiling(name) == Some(1));
    assert_eq!(pinned.count(), with("lab"));
}

#[test]
fn a_plan_that_goes_on_by_itself_is_paused_and_resumed_in_its_order() {
    let plan = ReleasePlan::parse(BY_ITSELF).unwrap();
    plan.check_against(&Population::usual().unwrap()).unwrap();
    let course = plan.course().unwrap();
    assert_eq!(course.plan.len(), 2);
    assert!((course.target() - 100.0).abs() < f64::EPSILON);
    for (from, to, named) in [
        ("after_h = 2\n", "after_h = 2\npercent = 10\n", "exclude"),
        ("install = \"nights\"", "install = \"days\"", "days"),
        ("from_h = 21, to_h = 57", "from_h = 57, to_h = 21", "pauses"),
        ("from_h = 21, to_h = 57", "from_h = 1, to_h = 57", "pauses"),
        ("from_h = 12, to_h = 14.5", "from_h = 12, to_h = 12", "freezes"),
        ("start = \"22:00\"", "start = \"22\"", "windows"),
        (
            "fallback_zone = \"UTC\"",
            "fallback_zone = \"Nowhere/At_all\"",
            "Nowhere",
        ),
        ("after_h = 2\n", "after_h = 2\npriority = 7\n", "priority 0"),
        (
            "after_h = 2\n",
            "after_h = 2\nregion = \"eu-north\"\n",
            "everybody",
        ),
        ("percent = 40", "percent = 140", "plan.percent"),
    ] {
        assert!(BY_ITSELF.contains(from), "{from}");
        let fault = ReleasePlan::parse(&BY_ITSELF.replacen(from, to, 1)).unwrap_err();
        assert!(fault.to_string().contains(named), "{to}: {fault}");
    }
}
