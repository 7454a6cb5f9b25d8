//! A plan's steps as they are written on the command line.

use chrono::{DateTime, Utc};
use tidegate_domain::{Percent, Plan, PlanStep, Span};

/// A step such as `10 over 2h bake 1h not-before 2027-01-04T06:00:00Z approve nudge`: the share, then what it takes.
pub(super) fn step(text: &str) -> Result<PlanStep, String> {
    let mut words = text.split_whitespace();
    let share = words.next().ok_or("names no share, such as 10")?;
    let share = share.trim_end_matches('%').parse::<f64>();
    let share = share.map_err(|_| "must begin with a share in percent, such as 10 or 0.5")?;
    let percent = Percent::of_decimal(share).map_err(|fault| fault.to_string())?;
    let mut step = PlanStep::to(percent, Span::NONE);
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
            "over" => step.over = span(value()?)?,
            "bake" => step.bake = span(value()?)?,
            "not-before" => step.not_before = Some(time(value()?)?),
            "approve" => step.approve = true,
            "nudge" => step.nudge = true,
            other => {
                return Err(format!(
                    "has a word that no step has, {other:?}; it knows over, bake, not-before, approve and nudge"
                ));
            }
        }
    }
    Ok(step)
}

fn example(word: &str) -> &'static str {
    match word {
        "not-before" => "2027-01-04T06:00:00Z",
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

/// The plan of these steps, or the careful one; none where neither is said.
pub(super) fn plan(steps: Vec<PlanStep>, careful: bool) -> Result<Option<Plan>, tidegate_domain::Error> {
    match (steps.is_empty(), careful) {
        (true, false) => Ok(None),
        (true, true) => Ok(Some(Plan::careful())),
        (false, _) => Plan::new(steps).map(Some),
    }
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
        ] {
            let fault = step(bad).unwrap_err();
            assert!(fault.contains(word), "{bad}: {fault}");
        }
    }
}
