//! A plan's steps as they are written on the command line.

use chrono::{DateTime, Utc};
use tidegate_domain::{DevicesPerHour, Percent, Plan, PlanStep, Span};

/// The ramps that a plan's steps give as a rate; a step that doesn't has none.
pub(super) type Rates = Vec<Option<DevicesPerHour>>;

/// A step of a rollout, whose ramp may be given as a rate that is still to be worked out.
#[derive(Clone, Debug)]
pub(super) struct PacedStep {
    step: PlanStep,
    rate: Option<DevicesPerHour>,
}

/// A step of a plan that is kept for rollouts to come, whose devices nobody can count yet.
pub(super) fn step(text: &str) -> Result<PlanStep, String> {
    match paced_step(text)? {
        PacedStep { step, rate: None } => Ok(step),
        PacedStep { rate: Some(_), .. } => {
            Err("can't have devices-per-hour here, since its devices are counted when a rollout is made: say over".to_owned())
        }
    }
}

/// A step such as `10 over 2h bake 1h not-before 2027-01-04T06:00:00Z approve nudge`: the share, then what it takes. In place
/// of `over 2h` it may say `devices-per-hour 500`.
pub(super) fn paced_step(text: &str) -> Result<PacedStep, String> {
    let mut words = text.split_whitespace();
    let share = words.next().ok_or("names no share, such as 10")?;
    let share = share.trim_end_matches('%').parse::<f64>();
    let share = share.map_err(|_| "must begin with a share in percent, such as 10 or 0.5")?;
    let percent = Percent::of_decimal(share).map_err(|fault| fault.to_string())?;
    let (mut step, mut rate) = (PlanStep::to(percent, Span::NONE), None);
    let mut has_over = false;
    while let Some(word) = words.next() {
        let mut value = || {
            words.next().ok_or_else(|| {
                format!(
                    "says {word} without what follows, such as {word} {}",
                    example(word)
                )
            })
        };
        match word {
            "over" => (step.over, has_over) = (span(value()?)?, true),
            "devices-per-hour" => rate = Some(devices_per_hour(value()?)?),
            "bake" => step.bake = span(value()?)?,
            "not-before" => step.not_before = Some(time(value()?)?),
            "approve" => step.approve = true,
            "nudge" => step.nudge = true,
            other => {
                return Err(format!(
                    "has a word that no step has, {other:?}; it knows over, devices-per-hour, bake, not-before, approve and nudge"
                ));
            }
        }
    }
    if has_over && rate.is_some() {
        return Err("says both over and devices-per-hour: either says how long the ramp takes".to_owned());
    }
    Ok(PacedStep { step, rate })
}

fn devices_per_hour(text: &str) -> Result<DevicesPerHour, String> {
    let devices = text.parse::<i64>();
    let devices = devices.map_err(|_| format!("has devices-per-hour that is no whole number: {text}"))?;
    DevicesPerHour::new(devices).map_err(|fault| fault.to_string())
}

fn example(word: &str) -> &'static str {
    match word {
        "not-before" => "2027-01-04T06:00:00Z",
        "devices-per-hour" => "500",
        _ => "2h",
    }
}

fn span(text: &str) -> Result<Span, String> {
    text.parse::<Span>().map_err(|fault| fault.to_string())
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let time = DateTime::parse_from_rfc3339(text);
    time.map(|time| time.to_utc())
        .map_err(|fault| format!("has a time that does not read, {text:?}: {fault}"))
}

/// The plan of these steps and their rates, or the careful one; none where neither is said.
pub(super) fn plan(
    steps: Vec<PacedStep>,
    careful: bool,
) -> Result<(Option<Plan>, Rates), tidegate_domain::Error> {
    if steps.is_empty() {
        return Ok((careful.then(Plan::careful), vec![]));
    }
    let (steps, rates) = steps.into_iter().map(|paced| (paced.step, paced.rate)).unzip();
    Ok((Some(Plan::new(steps)?), rates))
}

/// A step as it is written.
pub(super) fn written(step: &PlanStep) -> String {
    let mut text = step.percent.to_string();
    for (word, span) in [("over", step.over), ("bake", step.bake)] {
        if span != Span::NONE {
            text = format!("{text} {word} {span}");
        }
    }
    if let Some(begin) = step.not_before {
        text = format!("{text} not-before {}", begin.format("%FT%TZ"));
    }
    for (word, is_said) in [("approve", step.approve), ("nudge", step.nudge)] {
        if is_said {
            text = format!("{text} {word}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_read_and_what_is_wrong_with_it_is_said() {
        let read = step("0.5% over 2h bake 90m not-before 2027-01-04T06:00:00+01:00 approve nudge").unwrap();
        assert_eq!(
            written(&read),
            "0.5 % over 2h bake 1h 30m not-before 2027-01-04T05:00:00Z approve nudge"
        );
        assert_eq!(written(&step("100").unwrap()), "100 %");
        for (bad, word) in [
            ("", "names no share"),
            ("all", "share in percent"),
            ("101", "from 0.01 to 100"),
            ("5 over", "such as over 2h"),
            ("5 over night", "does not read"),
            ("5 baking 2h", "no step has"),
            ("5 not-before monday", "does not read"),
            ("5 devices-per-hour", "such as devices-per-hour 500"),
            ("5 devices-per-hour many", "no whole number"),
            ("5 devices-per-hour 0", "not from 1 to"),
            ("5 devices-per-hour 500", "say over"),
            ("5 over 0s devices-per-hour 500", "both over and devices-per-hour"),
        ] {
            let fault = step(bad).unwrap_err();
            assert!(fault.contains(word), "{bad}: {fault}");
        }
    }
}
