//! How devices fail with a build: what became of them, and each reason in plain words with the way to its devices.

use tidegate_domain::BuildId;
use tidegate_service::{BuildFailures, FailureReason};

use super::reason_words;
use crate::show;

/// What the page shows of a build's failures.
pub(crate) struct Failures {
    /// What became of those that failed: words, devices, share of those that were offered it, their list.
    pub(crate) fates: [Fate; 3],
    pub(crate) reasons: Vec<Reason>,
    /// Why the numbers may be too low.
    pub(crate) cut: Option<String>,
}

/// What became of devices that failed.
pub(crate) struct Fate {
    pub(crate) words: &'static str,
    pub(crate) word: &'static str,
    pub(crate) devices: String,
    pub(crate) share: String,
    pub(crate) path: String,
}

/// One reason.
pub(crate) struct Reason {
    /// What was reported.
    pub(crate) status: String,
    pub(crate) words: String,
    pub(crate) code: String,
    pub(crate) devices: String,
    pub(crate) share: String,
    pub(crate) path: String,
    /// The last day against the one before, in words, and whether it grows.
    pub(crate) trend: String,
    pub(crate) grows: bool,
    /// Models and API levels, each with its devices and their list.
    pub(crate) split: Vec<(String, String, String)>,
}

impl Failures {
    pub(crate) fn is_empty(&self) -> bool {
        self.reasons.is_empty() && self.fates.iter().all(|fate| fate.devices == "0")
    }
}

pub(crate) fn of(build: BuildId, found: BuildFailures, offered: i64) -> Failures {
    let fate = |words, word, devices: u64| Fate {
        words,
        word,
        devices: show::count(devices),
        share: share(devices, offered),
        path: list(build, &[("fate", word)]),
    };
    Failures {
        fates: [
            fate("Still failing", "failing", found.failing),
            fate("Given up", "given_up", found.given_up),
            fate("Recovered", "recovered", found.recovered),
        ],
        cut: found.is_cut.then(|| {
            let most = show::count(tidegate_service::MAX_FAILURES_COUNTED);
            format!("There are more: at most {most} devices and reports are counted.")
        }),
        reasons: found
            .reasons
            .into_iter()
            .map(|reason| row(build, reason, offered))
            .collect(),
    }
}

fn row(build: BuildId, of: FailureReason, offered: i64) -> Reason {
    let by = |name: &str, value: &str| {
        list(
            build,
            &[
                ("reason", &of.reason),
                (name, value),
                (if name == "min_sdk" { "max_sdk" } else { "" }, value),
            ],
        )
    };
    let models = of.models.iter().filter_map(|(model, devices)| {
        let model = model.as_deref()?;
        Some((model.to_owned(), show::count(*devices), by("model", model)))
    });
    let levels = of.levels.iter().filter_map(|(level, devices)| {
        let level = (*level)?.to_string();
        Some((
            format!("API {level}"),
            show::count(*devices),
            by("min_sdk", &level),
        ))
    });
    Reason {
        split: models.chain(levels).collect(),
        status: reason_words::status(&of.status).to_owned(),
        words: reason_words::reason(&of.reason).into_owned(),
        devices: show::count(of.devices),
        share: share(of.devices, offered),
        path: list(build, &[("reason", &of.reason)]),
        trend: trend(of.last_day, of.day_before),
        grows: of.last_day > of.day_before,
        code: of.reason,
    }
}

/// The last day against the one before.
fn trend(last_day: u64, day_before: u64) -> String {
    let (now, then) = (show::count(last_day), show::count(day_before));
    match last_day.cmp(&day_before) {
        std::cmp::Ordering::Equal if last_day == 0 => "none in two days".to_owned(),
        std::cmp::Ordering::Equal => format!("{now} in the last day, as before"),
        std::cmp::Ordering::Greater => format!("{now} in the last day, up from {then}"),
        std::cmp::Ordering::Less => format!("{now} in the last day, down from {then}"),
    }
}

fn share(devices: u64, offered: i64) -> String {
    let devices = i64::try_from(devices).unwrap_or(i64::MAX);
    show::share(show::percent_of(devices, offered).min(100.0))
}

fn list(build: BuildId, more: &[(&str, &str)]) -> String {
    let build = build.to_string();
    let mut pairs = vec![("build_id", build.as_str())];
    pairs.extend(more.iter().filter(|(name, _)| !name.is_empty()));
    format!("/devices{}", show::query(&pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_leads_to_its_devices_and_says_where_it_goes() {
        let found = BuildFailures {
            failing: 30,
            reasons: vec![FailureReason {
                status: "install_failed".to_owned(),
                reason: "storage_low".to_owned(),
                devices: 30,
                last_day: 20,
                day_before: 5,
                models: vec![(Some("Tab A9".to_owned()), 29), (None, 1)],
                levels: vec![(Some(34), 30)],
            }],
            ..BuildFailures::default()
        };
        let shown = of(BuildId(7), found, 1_000);
        let reason = &shown.reasons[0];
        assert_eq!(
            (reason.words.as_str(), reason.share.as_str()),
            ("Not enough storage", "3.0 %")
        );
        assert_eq!(reason.path, "/devices?build_id=7&reason=storage_low");
        assert_eq!(reason.trend, "20 in the last day, up from 5");
        let lists: Vec<&str> = reason.split.iter().map(|(_, _, path)| path.as_str()).collect();
        assert_eq!(
            lists,
            [
                "/devices?build_id=7&reason=storage_low&model=Tab+A9",
                "/devices?build_id=7&reason=storage_low&min_sdk=34&max_sdk=34",
            ]
        );
        assert_eq!(shown.fates[0].path, "/devices?build_id=7&fate=failing");
        assert_eq!(trend(0, 0), "none in two days");
        assert_eq!(trend(2, 2), "2 in the last day, as before");
    }
}
