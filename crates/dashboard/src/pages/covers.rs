//! How many devices a share is, and which versions they leave.

use serde_json::json;
use tidegate_domain::{BuildId, Percent};
use tidegate_service::Coverage;

use crate::AppState;
use crate::error::Refusal;
use crate::show;

/// What a dialog says of that, and what its script computes further shares from.
pub(crate) struct Covers {
    /// For the share that the form holds.
    pub words: String,
    /// Devices by whole-percent cohort, joined by commas; empty when nothing was counted yet.
    pub by_cohort: String,
    /// The versions that they run, as JSON: `[{"name": …, "by_cohort": […]}]`.
    pub leaves: String,
}

impl Covers {
    /// The same without a word, where the share is taken of some devices only.
    pub(crate) fn untold(self) -> Self {
        Self {
            words: String::new(),
            ..self
        }
    }
}

/// Whom a share of the fleet is now, of a build that is offered already or is not.
pub(crate) async fn of(app: &AppState, id: BuildId, percent: f64, offered: bool) -> Result<Covers, Refusal> {
    let coverage = app.fleet.coverage(id).await?;
    if coverage.measured_at.is_none() {
        return Ok(Covers {
            words: "The server has just started and has not counted the fleet yet.".to_owned(),
            by_cohort: String::new(),
            leaves: String::new(),
        });
    }
    Ok(Covers {
        words: sentence(&coverage, percent, offered),
        by_cohort: joined(&coverage.by_cohort),
        leaves: leaves(&coverage),
    })
}

fn sentence(coverage: &Coverage, percent: f64, offered: bool) -> String {
    let devices = show::many(within(&coverage.by_cohort, percent), "device");
    let yet = if offered { " that do not run it yet" } else { "" };
    format!("{percent} % is {devices} now{yet}.")
}

/// The devices of these cohorts that a share takes. Of a cohort that it takes in part it has about that part.
fn within(cohorts: &[u64], percent: f64) -> u64 {
    let hundredths = Percent::of_decimal(percent).map_or(0, Percent::hundredths);
    let (whole, part) = (usize::from(hundredths / 100), u64::from(hundredths % 100));
    let split = cohorts.get(whole).map_or(0, |devices| devices * part / 100);
    cohorts.iter().take(whole).sum::<u64>() + split
}

fn joined(cohorts: &[u64]) -> String {
    let numbers: Vec<String> = cohorts.iter().map(ToString::to_string).collect();
    numbers.join(",")
}

fn leaves(coverage: &Coverage) -> String {
    let versions = coverage.leaves.iter().map(|leaving| {
        let name = match (&leaving.name, leaving.version.get()) {
            (_, 0) => "nothing installed".to_owned(),
            (Some(name), _) if !name.trim().is_empty() => name.clone(),
            (_, code) => format!("version code {code}"),
        };
        json!({ "name": name, "by_cohort": leaving.by_cohort })
    });
    versions.collect::<serde_json::Value>().to_string()
}
