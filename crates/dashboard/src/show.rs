//! Numbers, sizes and times as people read them.

use std::borrow::Borrow;

use chrono::{DateTime, TimeDelta, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tidegate_domain::{Reason, SdkLevel};
use tidegate_service::Told;

/// What may stand in a path's segment as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// What counts come as; templates hand over references.
pub(crate) trait Number {
    fn get(self) -> i64;
}

impl Number for i64 {
    fn get(self) -> i64 {
        self
    }
}

impl Number for u64 {
    fn get(self) -> i64 {
        i64::try_from(self).unwrap_or(i64::MAX)
    }
}

impl Number for usize {
    fn get(self) -> i64 {
        i64::try_from(self).unwrap_or(i64::MAX)
    }
}

impl<N: Number + Copy> Number for &N {
    fn get(self) -> i64 {
        (*self).get()
    }
}

/// A count with thousands set apart: `1,234,567`.
pub(crate) fn count(number: impl Number) -> String {
    let number = number.get();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('−');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 device`, `1,200 devices`.
pub(crate) fn many(number: impl Number, what: &str) -> String {
    let number = number.get();
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", count(number))
}

/// A size in bytes, as people say it: `14.2 MB`.
pub(crate) fn bytes(size: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if size < 1000 {
        return format!("{size} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
    let mut value = size as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A share: `12.3 %`, and no digit after the point where there is nothing to tell.
pub(crate) fn share(percent: f64) -> String {
    if percent == 0.0 || percent >= 99.95 {
        return format!("{percent:.0} %");
    }
    format!("{percent:.1} %")
}

/// A part of the devices as a share: what is there is never shown as 0 %, nor what is missing as 100 %.
pub(crate) fn part(part: u64, whole: u64) -> String {
    let percent = percent_of(part.get(), whole.get());
    match (part, whole.saturating_sub(part)) {
        (1.., _) if percent < 0.05 => "< 0.1 %".to_owned(),
        (_, 1..) if percent >= 99.95 => "> 99.9 %".to_owned(),
        _ => share(percent),
    }
}

/// A part of a whole in percent; 0 of nothing is 0.
pub(crate) fn percent_of(part: i64, whole: i64) -> f64 {
    if whole <= 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "device counts stay far below 2^52")]
    let percent = part as f64 / whole as f64 * 100.0;
    percent
}

/// A moment, to the minute.
pub(crate) fn moment(time: impl Borrow<DateTime<Utc>>) -> String {
    time.borrow().format("%Y-%m-%d %H:%M").to_string()
}

/// A moment that a script tells in the zone of whoever looks; in UTC without it.
#[derive(Clone, Copy)]
pub(crate) struct Time(DateTime<Utc>);

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (stamp, words) = (stamp(self.0), moment(self.0));
        write!(f, "<time class=\"number\" datetime=\"{stamp}\">{words}</time>")
    }
}

/// Nothing but digits and its own tags.
impl askama::filters::HtmlSafe for Time {}

/// A moment as an element.
pub(crate) fn time(time: impl Borrow<DateTime<Utc>>) -> Time {
    Time(*time.borrow())
}

/// A moment as an element, if there was one.
pub(crate) fn time_if(at: impl Borrow<Option<DateTime<Utc>>>) -> askama::filters::Safe<String> {
    let told = at.borrow().map(|at| time(at).to_string());
    askama::filters::Safe(told.unwrap_or_else(|| "–".to_owned()))
}

/// A moment within a sentence, which no script changes.
pub(crate) fn utc(time: impl Borrow<DateTime<Utc>>) -> String {
    format!("{} UTC", moment(time))
}

/// A moment for machines.
pub(crate) fn stamp(time: impl Borrow<DateTime<Utc>>) -> String {
    time.borrow().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How long ago something was: `3 min ago`.
pub(crate) fn ago(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let past = (now - time).max(TimeDelta::zero());
    match past.num_seconds() {
        0..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", past.num_minutes()),
        3600..172_800 => format!("{} h ago", past.num_hours()),
        _ => format!("{} days ago", count(past.num_days())),
    }
}

/// A length of time: `2 days 3 h`, `90 min` as `1 h 30 min`.
pub(crate) fn lasting(seconds: u64) -> String {
    let day = match seconds / 86_400 {
        1 => "day",
        _ => "days",
    };
    let parts = [
        (seconds / 86_400, day),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let told = parts.iter().filter(|(number, _)| *number > 0);
    let told: Vec<String> = told.map(|(number, unit)| format!("{number} {unit}")).collect();
    match told.is_empty() {
        true => "no time".to_owned(),
        false => told.join(" "),
    }
}

/// What a word of the protocol means, for those who read it for the first time.
pub(crate) fn meaning(told: Told) -> &'static str {
    match told {
        Told::Offered => "to take a build",
        Told::NotPolled => "nothing yet",
        Told::NoUpdate(reason) => match reason {
            Reason::NoCurrentBuild => "nothing is released",
            Reason::AlreadyCurrent => "runs the build of the rollout that takes it",
            Reason::NewerInstalled => "runs a newer version",
            Reason::NotInCohort => "outside the share",
            Reason::Ramping => "the ramp has not reached it",
            Reason::HeldBack => "stays back to compare with",
            Reason::NotInAudience => "outside the audience",
            Reason::Paused => "the rollout is paused",
            Reason::Halted => "the rollout is halted",
            Reason::Scheduled => "the rollout has not begun",
            Reason::IncompatibleSdk => "its API level is too low",
            Reason::IncompatibleAbi => "no native code for it",
            Reason::RejectedByDevice => "failed with it",
            Reason::NeedsIntermediate => "can't take the build before it",
            Reason::AboveCeiling => "above a policy's ceiling",
            Reason::HeldByPolicy => "held by a policy",
            Reason::OutsideWindow => "waits for its window",
        },
    }
}

/// A range of API levels.
pub(crate) fn levels(from: SdkLevel, to: SdkLevel) -> String {
    match (from, to) {
        (0, SdkLevel::MAX) => "every API level".to_owned(),
        (from, SdkLevel::MAX) => format!("API level {from} and above"),
        (0, to) => format!("API level {to} and below"),
        (from, to) => format!("API levels {from} to {to}"),
    }
}

/// The beginning of a fingerprint, enough to tell two apart at a glance.
pub(crate) fn short(fingerprint: &str) -> String {
    fingerprint.chars().take(11).collect::<String>() + "…"
}

/// A text as a segment of a path.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A query of the pairs that have a value, with its question mark; nothing when none has.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    let query = query.finish();
    if query.is_empty() {
        query
    } else {
        format!("?{query}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_easily() {
        let shown = [0_i64, 999, 1000, 1_234_567, -1000].map(count);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567", "−1,000"]);
        assert_eq!(many(1_i64, "device"), "1 device");
        assert_eq!(many(1_200_i64, "device"), "1,200 devices");
        let sizes = [0, 999, 1000, 14_200_000, 999_999, 5_000_000_000_000].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "14.2 MB", "1.0 MB", "5.0 TB"]);
        let spans = [0, 90, 5_400, 86_400, 2 * 86_400 + 3_601].map(lasting);
        assert_eq!(
            spans,
            ["no time", "1 min 30 s", "1 h 30 min", "1 day", "2 days 1 h 1 s"]
        );
        assert_eq!([0.0, 12.34, 100.0].map(share), ["0 %", "12.3 %", "100 %"]);
        let parts = [(0, 0), (0, 9), (1, 20_000), (9, 9), (19_999, 20_000)];
        assert_eq!(
            parts.map(|(some, all)| part(some, all)),
            ["0 %", "0 %", "< 0.1 %", "100 %", "> 99.9 %"]
        );
    }

    #[test]
    fn a_device_may_have_any_name_in_a_path() {
        assert_eq!(segment("a/b ?#%é"), "a%2Fb%20%3F%23%25%C3%A9");
        assert_eq!(query(&[("a", ""), ("b", "x&y")]), "?b=x%26y");
        assert_eq!(query(&[("a", "")]), "");
    }
}
