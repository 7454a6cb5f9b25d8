use super::*;

fn counts(total_eligible: u64) -> Counts {
    Counts {
        total_eligible,
        ..Counts::default()
    }
}

fn report() -> Report {
    Report {
        plan: None,
        forecast: None,
        patches: None,
        seed: 1,
        devices: 100,
        package: "com.example.app".to_owned(),
        version_name: "1 < 2".to_owned(),
        version_code: 2,
        hours: 48.0,
        stages: vec![Stage {
            from_h: 0.0,
            rollout: "canaries".to_owned(),
            percent: 10.0,
            expected: 10,
            offered: 10,
            installed: 8,
        }],
        adoption: (0..=48)
            .map(|hour| Point {
                hour: f64::from(hour),
                offered: 50,
                installed: 25,
            })
            .collect(),
        answers: BTreeMap::new(),
        reports: BTreeMap::new(),
        faults: BTreeMap::new(),
        builds: vec![BuildComparison {
            build_id: 2,
            devices: counts(10),
            server: counts(10),
            by_hour: counts(10),
            adoption_rate: 12.5,
            adoption: 12.5,
            by_rollout: vec![RolloutComparison {
                rollout_id: 7,
                devices: counts(10),
                server: counts(10),
            }],
        }],
        checks: Checks {
            answered: 500,
            unanswered: 0,
            at_risk: 0,
            server: 500,
        },
        formula: Formula {
            expected: 10,
            offered: 10,
            wrong: 0,
            rollouts: vec![RolloutFormula {
                rollout_id: 7,
                name: "canaries".to_owned(),
                expected: 10,
                offered: 10,
                wrong: 0,
            }],
            contradictions: vec![],
        },
        remarks: vec![],
        measured: Measured {
            seconds: 1.0,
            enrolling_seconds: 0.5,
            outages: 0,
            latency: vec![],
        },
    }
}

#[test]
fn equal_counts_are_called_equal() {
    let report = report();
    assert!(report.is_equal());
    let text = report.text();
    assert!(
        text.contains("All counts are equal.") && text.contains("500 =       500"),
        "{text}"
    );
}

#[test]
fn a_difference_of_one_is_a_difference() {
    let changes: [fn(&mut Report); 8] = [
        |report| report.builds[0].server.total_eligible += 1,
        |report| report.builds[0].devices.installs_success += 1,
        |report| report.builds[0].by_hour.total_checks += 1,
        |report| report.builds[0].adoption_rate += 0.1,
        |report| report.checks.server += 1,
        |report| report.formula.wrong = 1,
        |report| report.formula.rollouts[0].wrong = 1,
        |report| report.remarks.push("somebody else released a build".to_owned()),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut report = report();
        change(&mut report);
        assert!(!report.is_equal(), "change {number}");
        assert!(report.text().contains("NOT EQUAL"), "change {number}");
    }
}

#[test]
fn after_an_outage_the_polls_are_held_to_what_can_be_proven() {
    let mut checks = report().checks;
    (checks.unanswered, checks.at_risk) = (3, 20);
    for (server, holds) in [(479, false), (480, true), (503, true), (504, false)] {
        checks.server = server;
        assert_eq!(checks.hold(), holds, "{server}");
    }
}

#[test]
fn the_picture_is_one() {
    let svg = report().svg();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("1 &lt; 2") && svg.matches("<polyline").count() == 2);
}

#[test]
fn the_chart_stands_as_high_as_the_fleet() {
    let chart = chart::draw(&report());
    let full = chart.lines().filter(|line| line.contains('█')).count();
    assert_eq!(full, 2, "a quarter of ten rows and a half: {chart}");
    assert!(chart.contains('·') && chart.contains("48 h"));
}

#[test]
fn a_rollout_that_counts_otherwise_than_its_devices_is_found() {
    let mut report = report();
    assert!(report.builds[0].is_equal());
    report.builds[0].by_rollout[0].server.installs_success += 1;
    assert!(!report.builds[0].is_equal());
}
