//! The report as text.

use super::{BuildComparison, Checks, Report, chart};
use crate::gauge::AT_RISK;
use crate::{ForecastBooks, PlanBooks};

pub(super) fn write(report: &Report) -> String {
    let mut text = format!(
        "\n{} devices of seed {} lived {:.0} h with {} {} (version code {}) in {:.1} s, {:.1} s of them enrolling.\n",
        report.devices,
        report.seed,
        report.hours,
        report.package,
        report.version_name,
        report.version_code,
        report.measured.seconds,
        report.measured.enrolling_seconds,
    );
    text.push_str("\nAdoption: █ runs it, · was offered it\n");
    text.push_str(&chart::draw(report));
    stages(report, &mut text);
    outcomes(report, &mut text);
    latency(report, &mut text);
    builds(report, &mut text);
    patches(report, &mut text);
    verdict(report, &mut text);
    text
}

#[expect(clippy::cast_precision_loss, reason = "device counts stay far below 2^52")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64 * 100.0
}

fn stages(report: &Report, text: &mut String) {
    text.push_str("\nShares          expected by the formula       offered     installed\n");
    for stage in &report.stages {
        text.push_str(&format!(
            "  {:>3} % from {:>4.0} h  {:>8} ({:>6.2} %)  {:>10}  {:>8} ({:.2} % of the fleet){}\n",
            stage.percent,
            stage.from_h,
            stage.expected,
            share(stage.expected, report.devices),
            stage.offered,
            stage.installed,
            share(stage.installed, report.devices),
            called(&stage.rollout),
        ));
    }
}

/// What a rollout is called, behind something else.
fn called(name: &str) -> String {
    match name {
        "" => String::new(),
        name => format!(", {name}"),
    }
}

fn outcomes(report: &Report, text: &mut String) {
    for (title, counts) in [
        ("Answers to polls", &report.answers),
        ("Reports", &report.reports),
        ("Made to fail", &report.faults),
    ] {
        if counts.is_empty() {
            continue;
        }
        text.push_str(&format!("\n{title}\n"));
        for (what, count) in counts {
            text.push_str(&format!("  {count:>9}  {what}\n"));
        }
    }
}

fn latency(report: &Report, text: &mut String) {
    text.push_str("\nTime to answer, ms    count      p50      p90      p99    p99.9      max\n");
    for line in &report.measured.latency {
        text.push_str(&format!(
            "  {:<14} {:>10} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.2}\n",
            line.errand, line.count, line.p50, line.p90, line.p99, line.p999, line.max
        ));
    }
}

fn builds(report: &Report, text: &mut String) {
    for comparison in &report.builds {
        let BuildComparison {
            build_id,
            devices,
            server,
            by_hour,
            adoption_rate,
            adoption,
            by_rollout,
        } = comparison;
        text.push_str(&format!("\nBuild {build_id}               devices     server\n"));
        for (name, ours, theirs) in [
            ("total_eligible", devices.total_eligible, server.total_eligible),
            ("total_downloads", devices.total_downloads, server.total_downloads),
            (
                "installs_success",
                devices.installs_success,
                server.installs_success,
            ),
            ("installs_failed", devices.installs_failed, server.installs_failed),
            ("verify_failed", devices.verify_failed, server.verify_failed),
        ] {
            let sign = if ours == theirs { "=" } else { "≠" };
            text.push_str(&format!("  {name:<18} {ours:>9} {sign} {theirs:>9}\n"));
        }
        for rollout in by_rollout {
            let sign = if rollout.is_equal() { "=" } else { "≠" };
            text.push_str(&format!(
                "  rollout {:<10} {:>9} {sign} {:>9} offered\n",
                rollout.rollout_id, rollout.devices.total_eligible, rollout.server.total_eligible
            ));
            if !rollout.is_equal() {
                text.push_str(&format!(
                    "  the devices say {:?}, the server {:?}\n",
                    rollout.devices, rollout.server
                ));
            }
        }
        if !comparison.is_sound() {
            text.push_str(&format!(
                "  the server contradicts itself: its hours add up to {by_hour:?}, its adoption_rate is \
                 {adoption_rate} and should be {adoption}\n"
            ));
        }
    }
    text.push_str(&checks(&report.checks, report.measured.outages));
}

fn patches(report: &Report, text: &mut String) {
    let Some(books) = &report.patches else {
        return;
    };
    let counts = &books.devices;
    text.push_str(&format!(
        "\nPatches: {} bytes came as patches and {} as whole files; {} were saved.\n",
        books.patch_bytes, books.file_bytes, counts.saved_bytes
    ));
    for (outcome, count) in &counts.outcomes {
        text.push_str(&format!("  {count:>9}  {outcome}\n"));
    }
    text.push_str(&format!("  {:>9}  devices took the whole file\n", counts.full));
    match (&books.server, books.disagreement()) {
        (None, _) => text.push_str("  The server tells nothing of patches.\n"),
        (Some(_), None) => text.push_str("  The server counted the same.\n"),
        (Some(_), Some(words)) => text.push_str(&format!("  {words}\n")),
    }
}

fn checks(checks: &Checks, outages: usize) -> String {
    let Checks {
        answered,
        unanswered,
        at_risk,
        server,
    } = checks;
    if *unanswered == 0 && *at_risk == 0 {
        let sign = if answered == server { "=" } else { "≠" };
        return format!("  {:<18} {answered:>9} {sign} {server:>9}\n", "total_checks");
    }
    let verdict = if checks.hold() {
        "is between"
    } else {
        "is not between"
    };
    format!(
        "  {:<18} {server} {verdict} {} and {}: {answered} polls were answered and {unanswered} were not, and of \
         the answered ones {at_risk} fell into the {} s before one of {outages} outages, where a crash forgets what \
         was not written yet\n",
        "total_checks",
        checks.least(),
        checks.most(),
        AT_RISK.as_secs(),
    )
}

fn forecast(books: &ForecastBooks) -> String {
    let hours = |seconds: i64| format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60);
    let mut text = "\nThe forecast, and what happened:\n".to_owned();
    for (number, step) in (1..).zip(&books.steps) {
        text.push_str(&format!(
            "  devices of step {number}: {}, {}\n",
            step.forecast, step.happened
        ));
    }
    for (what, time) in [("half", books.half_s), ("90 of 100", books.ninety_s)] {
        text.push_str(&format!(
            "  {what} were offered it after {}, {}\n",
            hours(time.forecast),
            hours(time.happened)
        ));
    }
    text
}

fn plan(books: &PlanBooks) -> String {
    let PlanBooks {
        polls,
        offered,
        below_line,
        above_line,
        closed,
        frozen,
        paused,
        offered_without_zone,
        older_offered,
        older_refused,
        older_refused_to_install,
        unjudged,
        disagreements,
        at_edges,
        downloads,
        downloads_outside,
        installs,
        installs_outside,
        transfers_at_edges,
        told,
    } = books;
    let mut text = format!(
        "\nThe plan: {polls} polls were judged by the line and the windows, {disagreements} were answered wrongly.\n"
    );
    let mut line = |words: String| text.push_str(&format!("  {words}\n"));
    line(format!(
        "polls of devices without the build: {below_line} below the line, {above_line} above it, {paused} below it during a \
         pause"
    ));
    line(format!(
        "{offered} polls were offered it, {offered_without_zone} of them of devices that tell no zone; {closed} had to wait \
         for a window, {frozen} of them only for the end of a freeze"
    ));
    line(format!(
        "agents of before: {older_offered} polls were offered it, {older_refused} were refused since a window was closed, \
         {older_refused_to_install} of them only that of installing"
    ));
    line(format!(
        "{downloads} downloads, {downloads_outside} outside of the device's window; {installs} installations, \
         {installs_outside} outside"
    ));
    line(format!(
        "within two seconds of an edge: {at_edges} answers, {transfers_at_edges} downloads and installations; not judged: \
         {unjudged} polls of devices that had failed"
    ));
    for words in told {
        text.push_str(&format!("  {words}\n"));
    }
    text
}

fn verdict(report: &Report, text: &mut String) {
    let formula = &report.formula;
    text.push_str(&format!(
        "\nFormula of shares: it takes {} devices, {} were offered the build, {} are in one set only.\n",
        formula.expected, formula.offered, formula.wrong
    ));
    for rollout in &formula.rollouts {
        text.push_str(&format!(
            "  rollout {}{}: it takes {}, {} were offered the build by it, {} are in one set only\n",
            rollout.rollout_id,
            called(&rollout.name),
            rollout.expected,
            rollout.offered,
            rollout.wrong
        ));
    }
    if let Some(books) = &report.plan {
        text.push_str(&plan(books));
    }
    if let Some(books) = &report.forecast {
        text.push_str(&forecast(books));
    }
    for contradiction in &formula.contradictions {
        text.push_str(&format!("  {contradiction}\n"));
    }
    for remark in &report.remarks {
        text.push_str(&format!("  {remark}\n"));
    }
    text.push_str(if report.is_equal() {
        "\nAll counts are equal.\n"
    } else {
        "\nTHE COUNTS ARE NOT EQUAL.\n"
    });
}
