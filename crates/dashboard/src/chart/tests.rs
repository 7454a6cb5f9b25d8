use chrono::TimeDelta;

use super::*;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn line(name: &str, values: &[f64]) -> Line {
    Line {
        name: name.to_owned(),
        class: "s0".to_owned(),
        values: values.iter().copied().map(Some).collect(),
    }
}

fn drawing(kind: Kind, minutes: &[i64], lines: Vec<Line>) -> Drawing {
    Drawing {
        from: now() - TimeDelta::minutes(60),
        to: now(),
        kind,
        times: minutes
            .iter()
            .map(|ago| now() - TimeDelta::minutes(*ago))
            .collect(),
        lines,
        marks: vec![],
    }
}

#[test]
fn nothing_is_drawn_before_the_first_sample_and_each_sample_is_a_row() {
    let chart = drawing(
        Kind::Lines,
        &[30, 15, 0],
        vec![line("Installed", &[0.0, 5.0, 10.0])],
    );
    let chart = chart.chart("c", "Devices".to_owned(), "devices");
    assert_eq!(chart.series[0].path, "M500.0 180.0L750.0 90.0L1000.0 0.0");
    assert_eq!((chart.series[0].last.as_str(), chart.rows.len()), ("10", 3));
    assert_eq!(
        (chart.rows[1].x, chart.rows[1].cells.as_slice()),
        (75.0, &["5".to_owned()][..])
    );
    assert_eq!(chart.spoken(), "Devices. Last: Installed 10");
    let empty = drawing(Kind::Lines, &[90], vec![line("Installed", &[3.0])]);
    assert!(
        empty.chart("c", String::new(), "devices").is_empty(),
        "it was before this time"
    );
}

#[test]
fn areas_stand_on_each_other() {
    let lines = vec![line("1.1", &[6.0, 6.0]), line("1.0", &[4.0, 4.0])];
    let chart = drawing(Kind::Areas, &[60, 0], lines).chart("c", String::new(), "devices");
    assert_eq!(
        chart.series[0].path,
        "M0.0 72.0L1000.0 72.0L1000.0 180.0L0.0 180.0Z"
    );
    assert_eq!(chart.series[1].path, "M0.0 0.0L1000.0 0.0L1000.0 72.0L0.0 72.0Z");
}

#[test]
fn evidence_stays_until_the_next_look_on_a_scale_of_powers() {
    let lines = vec![line("failed", &[0.0, 100_f64.ln()])];
    let chart = drawing(Kind::Evidence, &[60, 30], lines).chart("c", String::new(), "fold");
    assert_eq!(chart.series[0].path, "M0.0 135.0H500.0V45.0");
    assert_eq!(chart.series[0].last, "100");
    let labels: Vec<_> = chart.y_ticks.iter().map(|tick| tick.label.as_str()).collect();
    assert_eq!(labels, ["1", "10", "100", "1,000"]);
    let at: Vec<_> = chart.thresholds.iter().map(|line| line.y).collect();
    assert!(
        (at[0] - 45.0).abs() < 1e-9 && (at[2] - 90.0).abs() < 1e-9,
        "{at:?}"
    );
    let unknown = Line {
        values: vec![None, Some(0.0)],
        ..line("lost", &[])
    };
    let chart = drawing(Kind::Evidence, &[60, 30], vec![unknown]).chart("c", String::new(), "fold");
    assert_eq!(
        chart.series[0].path, "M500.0 135.0",
        "what was not measured is not drawn"
    );
    assert_eq!(chart.rows[0].cells, ["–"]);
}

#[test]
fn many_samples_are_thinned_out_and_the_ends_stay() {
    let minutes: Vec<i64> = (0..=60).rev().flat_map(|minute| [minute; 5]).collect();
    let values: Vec<f64> = (0..minutes.len())
        .map(|at| f64::from(u32::try_from(at).unwrap()))
        .collect();
    let mut many = drawing(Kind::Lines, &minutes, vec![line("x", &values)]);
    for (at, time) in many.times.iter_mut().enumerate() {
        *time += TimeDelta::seconds(i64::try_from(at % 5).unwrap() * 11) - TimeDelta::seconds(44);
    }
    many.from -= TimeDelta::minutes(1);
    let chart = many.chart("c", String::new(), "devices");
    assert!(
        chart.rows.len() <= MAX_SAMPLES && chart.rows.len() > MAX_SAMPLES / 2,
        "{}",
        chart.rows.len()
    );
    assert_eq!(chart.rows.first().unwrap().cells, ["0"]);
    assert_eq!(chart.rows.last().unwrap().cells, ["304"]);
}

#[test]
fn every_range_has_a_handful_of_round_times() {
    for range in Range::ALL {
        for minutes in [0, 7, 61, 700, 1_439] {
            let to = now() + TimeDelta::minutes(minutes);
            let ticks = range::ticks(to - range.span(), to);
            assert!(
                (5..=8).contains(&ticks.len()),
                "{range:?} {minutes}: {}",
                ticks.len()
            );
            assert!(ticks.iter().all(|tick| (0.0..=100.0).contains(&tick.x)));
        }
    }
    let day = range::ticks(now() - TimeDelta::hours(24), now());
    let labels: Vec<_> = day.iter().map(|tick| tick.label.as_str()).collect();
    assert_eq!(labels, ["12:00", "16:00", "20:00", "15 Jan", "04:00", "08:00"]);
}

#[test]
fn a_range_is_one_of_four_and_the_first_one_holds_what_there_is() {
    assert_eq!(Range::asked(Some("7d")).unwrap(), Some(Range::Week));
    assert_eq!(Range::asked(None).unwrap(), None);
    assert!(Range::asked(Some("5h")).is_err());
    let shown = |minutes| Range::first_shown(Some(now() - TimeDelta::minutes(minutes)), now());
    assert_eq!(
        [shown(5), shown(61), shown(1_500), shown(90_000)],
        [Range::Hour, Range::Day, Range::Week, Range::Week]
    );
}

#[test]
fn scales_begin_at_zero_and_end_at_a_round_number() {
    for (most, labels) in [
        (0.0, "0 1"),
        (3.0, "0 1 2 3"),
        (7.0, "0 2 4 6 8"),
        (501.0, "0 200 400 600"),
        (41_000.0, "0 10k 20k 30k 40k 50k"),
        (1_400_000.0, "0 500k 1M 1.5M"),
    ] {
        let ticks = scale::Scale::linear(most).ticks();
        let told: Vec<_> = ticks.iter().map(|tick| tick.label.as_str()).collect();
        assert_eq!(told.join(" "), labels, "{most}");
        assert_eq!((ticks[0].y, ticks[ticks.len() - 1].y), (HEIGHT, 0.0));
    }
}

#[test]
fn what_happened_at_nearly_one_time_is_one_line() {
    let mark = |ago, kind, what: &str| Mark {
        at: now() - TimeDelta::minutes(ago),
        x: 0.0,
        number: 0,
        kind,
        what: what.to_owned(),
    };
    let marks = [
        mark(90, marks::Kind::GoesOn, "before"),
        mark(30, marks::Kind::GoesOn, "promoted"),
        mark(30, marks::Kind::Stopped, "halted"),
        mark(10, marks::Kind::StandsStill, "paused"),
    ];
    let placed = marks::placed(&marks, now() - TimeDelta::minutes(60), now());
    let told: Vec<_> = placed
        .iter()
        .map(|mark| (mark.number, mark.kind, mark.what.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (1, marks::Kind::Stopped, "promoted; halted"),
            (2, marks::Kind::StandsStill, "paused")
        ]
    );
}
