//! On which levels of Android a build installs: what the survey of its file says, in the domain's words.

use std::fs::File;

use tidegate_apk as apk;
use tidegate_apk::{FindingCode, Profile};
use tidegate_domain::{Finding, Installability, Levels, SdkLevel};

use crate::{Error, Kind};

/// How many findings are kept of a build; those that block come first.
const MAX_FINDINGS: usize = 100;

/// What a survey of a build's file found.
pub(crate) struct Examination {
    pub(crate) installability: Installability,
    /// What the build is compared with others by, as JSON.
    pub(crate) profile: String,
}

impl Examination {
    /// Examines a file for devices from `floor` on.
    pub(crate) fn of_file(file: &File, floor: SdkLevel) -> Result<Self, apk::Error> {
        apk::survey_from(file, floor).map(|survey| Self::of(&survey.profile))
    }

    pub(crate) fn of(profile: &Profile) -> Self {
        let found = &profile.installability;
        // That the build does not install below its own minimum is told by that minimum.
        let findings = found
            .findings
            .iter()
            .filter(|finding| finding.code != FindingCode::BelowMinSdk);
        let installability = Installability {
            installs_on: found.installs_on.iter().copied().map(levels).collect(),
            findings: findings.take(MAX_FINDINGS).map(finding).collect(),
        };
        Self {
            installability,
            profile: serde_json::to_string(profile).expect("a profile has no keys but texts"),
        }
    }

    /// Refuses a build that no device from `floor` on installs.
    pub(crate) fn check(&self, floor: SdkLevel) -> Result<(), Error> {
        if self.installability.installs_from(floor) {
            return Ok(());
        }
        let blocking = self.installability.findings.iter();
        let words: Vec<String> = blocking
            .filter(|finding| finding.blocks && finding.levels.to_sdk >= floor)
            .map(|finding| format!("API level {}: {finding}", finding.levels))
            .collect();
        let message = format!(
            "no device of API level {floor} or higher, the fleet's lowest, installs the APK: {}",
            words.join("; ")
        );
        Err(Error::new(Kind::Refused, "not_installable", message))
    }
}

fn levels(levels: apk::Levels) -> Levels {
    Levels {
        from_sdk: levels.from_sdk,
        to_sdk: levels.to_sdk.unwrap_or(SdkLevel::MAX),
    }
}

/// The texts of a survey were made visible by the survey.
pub(crate) fn finding(finding: &apk::Finding) -> Finding {
    Finding {
        code: finding.code.to_string(),
        blocks: finding.blocks,
        levels: levels(finding.levels),
        message: format!("{}: {}", finding.file, finding.detail),
    }
}
