//! A build as lists and dialogs show it.

use chrono::{DateTime, Utc};
use tidegate_domain::{
    Build, DeploymentStats, Finding, Position, Rollout, RolloutId, RolloutSpec, RolloutState, Share,
};
use tidegate_service::BuildView;

use crate::show;

/// A build as lists and dialogs show it.
pub(crate) struct Card {
    pub build: Build,
    pub rollout: Option<Rollout>,
    pub stats: DeploymentStats,
    now: DateTime<Utc>,
}

impl Card {
    pub(crate) fn new(view: BuildView, stats: DeploymentStats, now: DateTime<Utc>) -> Self {
        Self {
            build: view.build,
            rollout: view.rollout,
            stats,
            now,
        }
    }

    /// The version as people call it.
    pub(crate) fn name(&self) -> String {
        name(&self.build)
    }

    pub(crate) fn is_current(&self) -> bool {
        self.rollout
            .as_ref()
            .is_some_and(|rollout| rollout.spec.is_current)
    }

    pub(crate) fn state(&self) -> &'static str {
        self.rollout
            .as_ref()
            .map_or("not offered", |rollout| rollout.spec.state.as_str())
    }

    pub(crate) fn percent(&self) -> f64 {
        self.rollout
            .as_ref()
            .map_or(0.0, |rollout| rollout.spec.percent(self.now).as_decimal())
    }

    /// Where its rollout stands among others; empty for one to the whole fleet that is asked last.
    pub(crate) fn place(&self) -> String {
        self.rollout
            .as_ref()
            .map_or_else(String::new, |rollout| place(&rollout.spec))
    }

    pub(crate) fn is_held(&self) -> bool {
        let held =
            |rollout: &Rollout| matches!(rollout.spec.state, RolloutState::Paused | RolloutState::Halted);
        self.rollout.as_ref().is_some_and(held)
    }

    /// Its rollout, where whoever resumes it is asked which failures they have seen.
    pub(crate) fn asks_to_acknowledge(&self) -> Option<RolloutId> {
        let rollout = self.rollout.as_ref()?;
        let is_asked = rollout.spec.state == RolloutState::Halted && rollout.spec.gate.is_some();
        is_asked.then_some(rollout.id)
    }

    pub(crate) fn may_be_paused(&self) -> bool {
        let may = |rollout: &Rollout| rollout.spec.state.may_become(RolloutState::Paused);
        self.rollout.as_ref().is_some_and(may)
    }

    pub(crate) fn signer(&self) -> String {
        self.build.facts.signers.seen_by(None).to_string()
    }

    pub(crate) fn short_signer(&self) -> String {
        show::short(&self.signer())
    }

    pub(crate) fn schemes(&self) -> String {
        self.build.facts.schemes.join(", ")
    }

    /// What was found in the build's file; nothing while it was not examined.
    pub(crate) fn findings(&self) -> &[Finding] {
        let found = self.build.facts.installability.as_ref();
        found.map_or(&[], |found| &found.findings)
    }

    /// Whether devices of some levels that the build is for refuse it.
    pub(crate) fn blocked(&self) -> bool {
        self.findings().iter().any(|finding| finding.blocks)
    }

    pub(crate) fn size(&self) -> String {
        show::bytes(self.build.facts.size)
    }

    pub(crate) fn ago(&self) -> String {
        show::ago(self.build.provenance.uploaded_at, self.now)
    }

    pub(crate) fn adoption(&self) -> String {
        show::share(self.stats.adoption_rate())
    }

    /// Of the devices that tried to install it, those that failed; a dash where none has tried.
    pub(crate) fn failure_rate(&self) -> String {
        let failed = self.stats.installs_failed;
        match failed + self.stats.installs_success {
            0 => "–".to_owned(),
            tried => show::share(show::percent_of(failed, tried)),
        }
    }

    /// The numbers by their names in the feed, in the order of an update's life.
    pub(crate) fn numbers(&self) -> [(&'static str, &'static str, String); 5] {
        let stats = &self.stats;
        [
            ("Eligible", "eligible", show::count(stats.total_eligible)),
            ("Downloaded", "downloaded", show::count(stats.total_downloads)),
            ("Installed", "installed", show::count(stats.installs_success)),
            ("Failed", "failed", show::count(stats.installs_failed)),
            ("Not verified", "verify_failed", show::count(stats.verify_failed)),
        ]
    }
}

/// A build's version as people call it: its name, or its code where it has none.
pub(crate) fn name(build: &Build) -> String {
    build.facts.version_label()
}

/// Where a rollout stands among others, beside its share: the part of the fleet that the share is of, its experiment, its
/// place in the order of asking, its name.
pub(crate) fn place(spec: &RolloutSpec) -> String {
    let (slice, mut parts) = (spec.settings.slice, Vec::new());
    let from = slice.start.as_percent();
    match slice.width == Share::WHOLE {
        true if slice.start == Position::FIRST => {}
        true => parts.push(format!("from {from} % on")),
        false => parts.push(format!("of {} % from {from} % on", slice.width.as_percent())),
    }
    if let Some(experiment) = spec.experiment {
        parts.push(format!("arm of experiment {experiment}"));
    }
    if spec.priority > 0 {
        parts.push(format!("priority {}", spec.priority));
    }
    if !spec.name.is_empty() {
        parts.push(format!("“{}”", spec.name));
    }
    parts.join(" · ")
}
