//! What stands around every page: the navigation, who is logged in, the form token.

use tidegate_domain::{Hold, Policy, Role};

use crate::assets;
use crate::form::Fields;
use crate::session::Visitor;
use crate::show;

/// The part of the dashboard that a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Fleet,
    Builds,
    Devices,
    Nudges,
    Audit,
    Settings,
}

impl Section {
    /// All, in the order of the navigation.
    const ALL: [Self; 6] = [
        Self::Fleet,
        Self::Builds,
        Self::Devices,
        Self::Nudges,
        Self::Audit,
        // The last: it is the admins' alone.
        Self::Settings,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fleet => "Fleet",
            Self::Builds => "Builds",
            Self::Devices => "Devices",
            Self::Nudges => "Nudges",
            Self::Audit => "Audit",
            Self::Settings => "Settings",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Fleet => "/",
            Self::Builds => "/builds",
            Self::Devices => "/devices",
            Self::Nudges => "/nudges",
            Self::Audit => "/audit",
            Self::Settings => "/settings",
        }
    }
}

/// What stands around a page.
pub(crate) struct Frame {
    pub title: String,
    pub section: Section,
    pub assets: &'static str,
    pub who: String,
    pub role: Role,
    pub csrf: String,
    /// The holds on everybody that stand.
    pub holds: Vec<HoldNotice>,
    /// What was just done, after a form.
    pub done: Option<&'static str>,
    /// The rollout that was just changed by that, which can be paused at once.
    pub pausable: Option<i64>,
    is_from_here: bool,
}

/// A hold on everybody, as every page tells of it.
pub(crate) struct HoldNotice {
    pub id: i64,
    /// The package; `None` for all.
    pub package: Option<String>,
    /// Until when, in words.
    pub until: String,
    pub remark: String,
    pub by: String,
    pub since: String,
    /// The page that lifts it.
    pub lift: String,
}

impl HoldNotice {
    pub(crate) fn of(policy: &Policy) -> Self {
        let package = policy.spec.package.as_ref().map(ToString::to_string);
        let query = show::query(&[("package_name", package.as_deref().unwrap_or_default())]);
        Self {
            id: policy.id.0,
            until: until(policy),
            remark: policy.spec.remark.clone(),
            by: policy.created_by.clone(),
            since: show::utc(policy.created_at),
            lift: format!("/hold/lift{query}"),
            package,
        }
    }
}

/// Until when a policy holds, in words; empty where it does not.
pub(crate) fn until(policy: &Policy) -> String {
    match policy.spec.terms.hold {
        None => String::new(),
        Some(Hold::UntilLifted) => "until it is lifted".to_owned(),
        Some(Hold::Until(end)) => format!("until {} UTC", show::moment(end)),
    }
}

impl Frame {
    pub(crate) fn new(visitor: &Visitor, section: Section, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            section,
            assets: assets::hash(),
            who: visitor.actor.subject.clone(),
            role: visitor.actor.role,
            csrf: visitor.csrf.clone(),
            holds: visitor.holds.iter().map(HoldNotice::of).collect(),
            done: None,
            pausable: None,
            is_from_here: visitor.is_from_here,
        }
    }

    /// Says what was just done, as the page's own address tells it after a form of ours; a link from elsewhere is not
    /// believed.
    pub(crate) fn after(mut self, query: &Fields) -> Self {
        if !self.is_from_here {
            return self;
        }
        self.done = match query.text("done") {
            "promoted" => Some("Promoted. The next polls are answered by it."),
            "waits" => Some("It waits for another person's approval. Until then all goes on as before."),
            "plan_held" => {
                Some("Held. The share stays where it is, and offers go on, until you let it go on.")
            }
            "started" => Some("It goes on from now."),
            "advanced" => Some("The next step has begun."),
            "approved" => Some("Approved. It is as it was asked for from now on."),
            "denied" => Some("Denied. What was asked for does not happen."),
            "adjusted" => Some("The share was changed. The next polls are answered by it."),
            "adjusted_stopped" => {
                Some("The share was changed. Nobody is offered the build until it is resumed.")
            }
            "paused" => Some("Paused. Nobody is offered this build until you resume it."),
            "resumed" => Some("Resumed. The build is offered again."),
            "rolled_back" => Some("Rolled back. This build is the current one again."),
            "uploaded" => Some("Uploaded and checked. Nobody is offered it until you promote it."),
            "revoked" => Some("Revoked. The device's token is refused from now on."),
            "retired" => Some("Retired. The device is no longer part of the fleet."),
            "bulk_revoked" => Some("Revoked. The tokens of these devices are refused from now on."),
            "bulk_retired" => Some("Retired. These devices are no longer part of the fleet."),
            "bulk_tagged" => Some("Done. The next polls are answered with the tags as they are now."),
            "erased" => Some("Erased. Nothing is known of the device any more."),
            "noted" => Some("The notes were changed. Devices are told them with their next poll."),
            "deleted" => Some("Deleted, and its file with it unless another build is made of it."),
            "held" => Some("Held. Nobody is offered it from now on, on any server."),
            "lifted" => Some("Lifted. The next polls are answered by the rollouts again."),
            "retried" => Some("Done. Its next poll may be offered the build again."),
            "nudged" => Some("The campaign has begun."),
            "cancelled" => Some("Cancelled. What was sent already cannot be taken back."),
            "nudge_paused" => Some("Paused. Messages on their way are still finished."),
            "nudge_resumed" => Some("Resumed."),
            "password_changed" => Some("Your password was changed. You are logged out everywhere else."),
            other => crate::pages::settings::told(other),
        };
        self
    }

    /// The parts of the dashboard that this person has, in the order of the navigation.
    pub(crate) fn sections(&self) -> &'static [Section] {
        match self.may_administer() {
            true => &Section::ALL,
            false => &Section::ALL[..Section::ALL.len() - 1],
        }
    }

    /// Whether this person may release builds.
    pub(crate) fn may_operate(&self) -> bool {
        self.role >= Role::Operator
    }

    /// Whether this person may manage devices.
    pub(crate) fn may_administer(&self) -> bool {
        self.role >= Role::Admin
    }
}
