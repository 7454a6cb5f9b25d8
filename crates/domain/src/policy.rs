//! Policies: what operators demand of devices, whatever a rollout says.
//!
//! A policy hangs on everybody, on a tag or on one device, for one package or for all. It names a highest version, or
//! holds devices back altogether. Of several that concern a device, the lowest ceiling and the latest hold count: a
//! policy can be made stricter by another one, and never looser.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{DeviceId, Error, MAX_TAGS_PER_DEVICE, PackageName, Tag, VersionCode, check_visible};

/// How many policies there may be in all. Every server holds all of them in memory.
pub const MAX_POLICIES: usize = 10_000;

/// How many policies may hang on everybody, or on one tag, or on one device. A poll looks at each that concerns it.
pub const MAX_POLICIES_PER_SUBJECT: usize = 32;

/// The longest remark, in bytes.
pub const MAX_REMARK_BYTES: usize = 1_000;

/// A policy's number, as in `/v1/policies/3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyId(
    /// The number, as it stands in paths and tables.
    pub i64,
);

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// On whom a policy hangs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PolicySubject {
    /// Every device.
    Everybody,
    /// The devices that have this tag of the operators'.
    Tag(Tag),
    /// One device.
    Device(DeviceId),
}

impl fmt::Display for PolicySubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybody => f.write_str("everybody"),
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::Device(device) => write!(f, "device {device}"),
        }
    }
}

/// No update at all. The later one of two is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// Until then.
    Until(DateTime<Utc>),
    /// Until somebody lifts it.
    UntilLifted,
}

impl Hold {
    /// Whether it stands at this time.
    pub fn stands(self, now: DateTime<Utc>) -> bool {
        match self {
            Self::Until(end) => now < end,
            Self::UntilLifted => true,
        }
    }

    /// When it ends by itself.
    pub fn ends_at(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Until(end) => Some(end),
            Self::UntilLifted => None,
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Until(end) => write!(f, "until {}", end.format("%FT%TZ")),
            Self::UntilLifted => f.write_str("until it is lifted"),
        }
    }
}

/// What a policy demands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyTerms {
    /// Nothing above this version is offered. A device that runs something higher stays as it is.
    pub max_version: Option<VersionCode>,
    /// Nothing at all is offered.
    pub hold: Option<Hold>,
}

/// A policy as somebody writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySpec {
    /// On whom it hangs.
    pub subject: PolicySubject,
    /// For which package; `None` for all.
    pub package: Option<PackageName>,
    /// What it demands.
    pub terms: PolicyTerms,
    /// Why it is there, for whoever asks later.
    pub remark: String,
}

impl PolicySpec {
    /// Checks a policy that is made or changed at this time.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `max_version` when nothing is demanded or the ceiling is 0; with `hold_until` for a
    /// hold that has ended; with `remark` when that is empty, longer than [`MAX_REMARK_BYTES`], or has characters that
    /// can't be seen.
    pub fn check(&self, now: DateTime<Utc>) -> Result<(), Error> {
        let PolicyTerms { max_version, hold } = self.terms;
        match max_version {
            None if hold.is_none() => {
                return Err(Error::invalid(
                    "max_version",
                    "must be given where there is no hold",
                ));
            }
            Some(version) if version.get() == 0 => {
                let fault = "must be at least 1: a hold keeps devices from every update";
                return Err(Error::invalid("max_version", fault));
            }
            _ => {}
        }
        if hold.is_some_and(|hold| !hold.stands(now)) {
            return Err(Error::invalid("hold_until", "must lie in the future"));
        }
        check_remark(&self.remark)
    }
}

/// What a remark may be: 1 to [`MAX_REMARK_BYTES`] bytes that people can see.
pub(crate) fn check_remark(remark: &str) -> Result<(), Error> {
    if remark.trim().is_empty() {
        return Err(Error::invalid("remark", "must say why"));
    }
    if remark.len() > MAX_REMARK_BYTES {
        let fault = format!("is longer than {MAX_REMARK_BYTES} bytes");
        return Err(Error::invalid("remark", fault));
    }
    check_visible("remark", remark, true)
}

/// A policy as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its number.
    pub id: PolicyId,
    /// What it says.
    pub spec: PolicySpec,
    /// The subject of the credential that made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl Policy {
    /// Whether it says something about this package.
    pub fn concerns(&self, package: &str) -> bool {
        let of = self.spec.package.as_ref();
        of.is_none_or(|of| of.as_str() == package)
    }

    /// Whether it holds devices back at this time.
    pub fn holds(&self, now: DateTime<Utc>) -> bool {
        self.spec.terms.hold.is_some_and(|hold| hold.stands(now))
    }
}

/// All policies, by those on whom they hang.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    everybody: Vec<Arc<Policy>>,
    by_tag: HashMap<Tag, Vec<Arc<Policy>>>,
    by_device: HashMap<DeviceId, Vec<Arc<Policy>>>,
}

impl PolicySet {
    /// Takes the policies.
    pub fn new(policies: impl IntoIterator<Item = Policy>) -> Self {
        let mut all = Self::default();
        for policy in policies {
            let policy = Arc::new(policy);
            match &policy.spec.subject {
                PolicySubject::Everybody => all.everybody.push(policy),
                PolicySubject::Tag(tag) => all.by_tag.entry(tag.clone()).or_default().push(policy),
                PolicySubject::Device(id) => all.by_device.entry(id.clone()).or_default().push(policy),
            }
        }
        all
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.everybody.is_empty() && self.by_tag.is_empty() && self.by_device.is_empty()
    }

    /// All of them, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Policy> {
        let of_some = self.by_tag.values().chain(self.by_device.values()).flatten();
        self.everybody.iter().chain(of_some).map(|policy| &**policy)
    }

    /// Those on everybody that hold devices back at this time.
    pub fn holds_on_everybody(&self, now: DateTime<Utc>) -> impl Iterator<Item = &Policy> {
        let everybody = self.everybody.iter().map(|policy| &**policy);
        everybody.filter(move |policy| policy.holds(now))
    }

    /// Whether a device's tags must be known before it is said what its policies for this package are.
    pub fn need_tags(&self, package: &str) -> bool {
        let mut of_tags = self.by_tag.values().flatten();
        of_tags.any(|policy| policy.concerns(package))
    }

    /// Those that concern a device with this overlay.
    pub fn of<'a>(&'a self, device: &str, overlay: &'a Overlay) -> impl Iterator<Item = &'a Policy> {
        // Without policies on tags, no tag is looked up.
        let tags: &[Tag] = if self.by_tag.is_empty() {
            &[]
        } else {
            overlay.tags()
        };
        let by_tag = tags.iter().filter_map(|tag| self.by_tag.get(tag)).flatten();
        let by_device = self.by_device.get(device).into_iter().flatten();
        let all = self.everybody.iter().chain(by_tag).chain(by_device);
        all.map(|policy| &**policy)
    }

    /// The hold that counts for a package on a device: the latest, whether it still stands or not.
    pub fn hold_on<'a>(
        &'a self,
        device: &str,
        package: &str,
        overlay: &'a Overlay,
    ) -> Option<(&'a Policy, Hold)> {
        let concerning = self.of(device, overlay).filter(|policy| policy.concerns(package));
        let holds = concerning.filter_map(|policy| Some((policy, policy.spec.terms.hold?)));
        holds.max_by_key(|(policy, hold)| (*hold, std::cmp::Reverse(policy.id)))
    }

    /// The ceiling that counts for a package on a device: the lowest.
    pub fn ceiling_on<'a>(
        &'a self,
        device: &str,
        package: &str,
        overlay: &'a Overlay,
    ) -> Option<(&'a Policy, VersionCode)> {
        let concerning = self.of(device, overlay).filter(|policy| policy.concerns(package));
        let ceilings = concerning.filter_map(|policy| Some((policy, policy.spec.terms.max_version?)));
        ceilings.min_by_key(|(policy, version)| (*version, policy.id))
    }
}

/// What operators gave to a device: its tags, in their order and each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Overlay {
    tags: Box<[Tag]>,
}

/// That of a device to which nothing was given.
static NONE: std::sync::LazyLock<Overlay> = std::sync::LazyLock::new(Overlay::default);

impl Overlay {
    /// Takes a device's tags.
    pub fn new(tags: impl IntoIterator<Item = Tag>) -> Self {
        let mut tags: Vec<Tag> = tags.into_iter().collect();
        tags.sort_unstable();
        tags.dedup();
        Self { tags: tags.into() }
    }

    /// That of a device to which nothing was given.
    pub fn none() -> &'static Self {
        &NONE
    }

    /// The tags, ascending.
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// Whether the device has this tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags
            .binary_search_by(|known| known.as_str().cmp(tag))
            .is_ok()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }
}

/// Refuses more tags than a device may have.
///
/// # Errors
/// [`Error::Invalid`] with field `add`, which names the device.
pub fn check_tag_count(device: &DeviceId, tags: usize) -> Result<(), Error> {
    if tags <= MAX_TAGS_PER_DEVICE {
        return Ok(());
    }
    let fault = format!("would give {device} more than {MAX_TAGS_PER_DEVICE} tags: take one away first");
    Err(Error::invalid("add", fault))
}
