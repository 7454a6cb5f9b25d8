//! How long things are kept.

use std::ops::RangeInclusive;
use std::time::Duration;

use humantime::format_duration;
use tidegate_service::{MIN_CAMPAIGNS_KEPT, MIN_REPORTS_KEPT, MIN_STAT_HOURS_KEPT, RetentionSettings};

use super::Config;
use super::layers::Layers;
use super::set;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The longest time that something can be told to be kept; 0 is for ever.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

impl Config {
    pub(super) fn take_retention(&mut self, given: &mut Layers) {
        let kept = &mut self.retention;
        set(
            &mut kept.inactive_after,
            given.take("inactive_after", time(DAY..=LONGEST)),
        );
        set(
            &mut kept.reports,
            given.take("keep_reports", time(MIN_REPORTS_KEPT..=LONGEST)),
        );
        set(
            &mut kept.campaigns,
            given.take("keep_campaigns", time(MIN_CAMPAIGNS_KEPT..=LONGEST)),
        );
        set(
            &mut kept.stat_hours,
            given.take("keep_stat_hours", time(MIN_STAT_HOURS_KEPT..=LONGEST)),
        );
        set(
            &mut kept.retired_stories,
            given.take("keep_retired_stories", time(DAY..=LONGEST)),
        );
        if kept
            .inactive_after
            .is_some_and(|after| after < 2 * self.poll_interval)
        {
            given.fault(
                "inactive_after",
                "must be 0s, or at least two poll_intervals: devices that poll are to be counted",
            );
        }
    }
}

/// A time in this range, or none.
fn time(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Result<Option<Duration>, String> {
    move |text| {
        let fault = || {
            let (least, most) = (days(*range.start()), days(*range.end()));
            format!("must be 0s, which is never, or a time such as 90d, from {least} to {most}")
        };
        match humantime::parse_duration(text) {
            Ok(Duration::ZERO) => Ok(None),
            Ok(time) if range.contains(&time) => Ok(Some(time)),
            _ => Err(fault()),
        }
    }
}

/// The settings as they are written in a file.
pub(super) fn shown(kept: &RetentionSettings) -> [(&'static str, Option<String>); 5] {
    let text = |time: Option<Duration>| Some(time.map_or("0s".to_owned(), days));
    [
        ("inactive_after", text(kept.inactive_after)),
        ("keep_reports", text(kept.reports)),
        ("keep_campaigns", text(kept.campaigns)),
        ("keep_stat_hours", text(kept.stat_hours)),
        ("keep_retired_stories", text(kept.retired_stories)),
    ]
}

/// In days where it is whole days: in months and years nobody can count.
fn days(time: Duration) -> String {
    let (seconds, day) = (time.as_secs(), DAY.as_secs());
    if time.subsec_nanos() == 0 && seconds.is_multiple_of(day) {
        return format!("{}d", seconds / day);
    }
    format_duration(time).to_string()
}
