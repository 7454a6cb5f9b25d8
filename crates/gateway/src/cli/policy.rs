//! `tidegate admin tag`, `policy` and `hold`: which devices are told apart, and which are held back.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use tidegate_domain::{
    DeviceId, Hold, PackageName, Policy, PolicyId, PolicySpec, PolicySubject, PolicyTerms,
};
use tidegate_service::{
    Actor, Error as Refusal, HoldSpec, Policies, PolicyEdit, PolicyFilter, Snapshots, TagChange, TagCount,
    Tagged, Tags,
};

use super::args::{AdminHold, AdminPolicy, AdminTag, NamedDevices, Subject};
use super::people::{lines, moment};
use crate::wiring::{self, Stores};
use crate::{Config, Error};

/// The largest file of ids that is read, in bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// How many unknown devices are named.
const UNKNOWN_NAMED: usize = 20;

struct UseCases {
    tags: Tags,
    policies: Policies,
    console: Actor,
}

async fn open(config: &Config, init: bool) -> Result<UseCases, Error> {
    let store = Stores::open_made(config, init).await?.store;
    let clock = wiring::clock();
    let snapshots = Arc::new(Snapshots::load(store.clone(), Arc::clone(&clock)).await?);
    Ok(UseCases {
        tags: Tags::new(store.clone(), Arc::clone(&snapshots), Arc::clone(&clock)),
        policies: Policies::new(store, snapshots, clock),
        console: Actor::console(),
    })
}

/// Gives tags to devices, and shows them.
pub(super) async fn tag(config: &Config, init: bool, what: AdminTag) -> Result<String, Error> {
    let UseCases { tags, console, .. } = open(config, init).await?;
    match what {
        AdminTag::List => lines(|page| tags.list(page), told_tag).await,
        AdminTag::Devices { tag } => lines(|page| tags.devices(&tag, page), ToString::to_string).await,
        AdminTag::Add { tag, devices } => {
            let add = named(&devices)?;
            let change = TagChange {
                add,
                ..TagChange::default()
            };
            Ok(told_change(&tags.change(&console, &tag, change).await?))
        }
        AdminTag::Remove { tag, devices } => {
            let remove = named(&devices)?;
            let change = TagChange {
                remove,
                ..TagChange::default()
            };
            Ok(told_change(&tags.change(&console, &tag, change).await?))
        }
        AdminTag::Rename { tag, to } => {
            let devices = tags.rename(&console, &tag, &to).await?;
            Ok(told_tag(&TagCount { tag: to, devices }))
        }
        AdminTag::Delete { tag } => {
            let devices = tags.delete(&console, &tag).await?;
            Ok(format!("deleted {tag}, which {devices} devices had"))
        }
    }
}

fn told_tag(tag: &TagCount) -> String {
    format!("{} {} devices", tag.tag, tag.devices)
}

fn told_change(tagged: &Tagged) -> String {
    let mut told = format!("{} added, {} removed", tagged.added, tagged.removed);
    if !tagged.unknown.is_empty() {
        let named = tagged.unknown.iter().take(UNKNOWN_NAMED);
        let named: Vec<&str> = named.map(DeviceId::as_str).collect();
        let more = if named.len() < tagged.unknown.len() {
            ", …"
        } else {
            ""
        };
        told += &format!("; {} unknown: {}{more}", tagged.unknown.len(), named.join(", "));
    }
    told
}

/// The devices that are named on the command line and in a file, an id in each line.
fn named(devices: &NamedDevices) -> Result<Vec<DeviceId>, Error> {
    let mut named = devices.ids.clone();
    if let Some(file) = &devices.file {
        for (at, line) in (1..).zip(read(file)?.lines()) {
            let id = line.trim();
            if id.is_empty() {
                continue;
            }
            let id = DeviceId::parse(id).map_err(|fault| {
                let fault = format!("{}, line {at}: {fault}", file.display());
                Error::unusable("--file")(&fault)
            })?;
            named.push(id);
        }
    }
    Ok(named)
}

fn read(file: &Path) -> Result<String, Error> {
    let unreadable = |fault: &dyn std::fmt::Display| {
        let fault = format!("{}: {fault}", file.display());
        Error::unusable("--file")(&fault)
    };
    let opened = std::fs::File::open(file).map_err(|fault| unreadable(&fault))?;
    let mut text = String::new();
    let read = opened.take(MAX_FILE_BYTES + 1).read_to_string(&mut text);
    read.map_err(|fault| unreadable(&fault))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(unreadable(&"is larger than 16 MiB: split it"));
    }
    Ok(text)
}

/// Makes, changes and shows policies.
pub(super) async fn policy(config: &Config, init: bool, what: AdminPolicy) -> Result<String, Error> {
    let UseCases {
        policies, console, ..
    } = open(config, init).await?;
    match what {
        AdminPolicy::List { tag, device, package } => {
            let filter = PolicyFilter { tag, device, package };
            let told = |policy: &Policy| told_policy(policy, &policies);
            lines(|page| policies.list(filter.clone(), page), told).await
        }
        AdminPolicy::Add {
            subject,
            package,
            max_version,
            hold,
            hold_until,
            remark,
        } => {
            let spec = PolicySpec {
                subject: subject_of(subject),
                package,
                terms: PolicyTerms {
                    max_version: max_version
                        .map(TryInto::try_into)
                        .transpose()
                        .map_err(Refusal::from)?,
                    hold: hold_until.map(Hold::Until).or(hold.then_some(Hold::UntilLifted)),
                },
                remark,
            };
            let policy = policies.create(&console, spec).await?;
            Ok(told_policy(&policy, &policies))
        }
        AdminPolicy::Change {
            id,
            max_version,
            no_max_version,
            hold,
            hold_until,
            no_hold,
            remark,
        } => {
            let max_version = max_version
                .map(TryInto::try_into)
                .transpose()
                .map_err(Refusal::from)?;
            let hold = hold_until.map(Hold::Until).or(hold.then_some(Hold::UntilLifted));
            let edit = PolicyEdit {
                max_version: (no_max_version || max_version.is_some()).then_some(max_version),
                hold: (no_hold || hold.is_some()).then_some(hold),
                remark,
            };
            let policy = policies.change(&console, PolicyId(id), edit).await?;
            Ok(told_policy(&policy, &policies))
        }
        AdminPolicy::Remove { id } => {
            let policy = policies.delete(&console, PolicyId(id)).await?;
            Ok(format!("removed {}", told_policy(&policy, &policies)))
        }
    }
}

/// The command line names exactly one.
fn subject_of(subject: Subject) -> PolicySubject {
    match (subject.tag, subject.device) {
        (Some(tag), _) => PolicySubject::Tag(tag),
        (None, Some(device)) => PolicySubject::Device(device),
        (None, None) => PolicySubject::Everybody,
    }
}

/// Holds everybody back, and lifts that.
pub(super) async fn hold(config: &Config, init: bool, what: AdminHold) -> Result<String, Error> {
    let UseCases {
        policies, console, ..
    } = open(config, init).await?;
    let told = |of: &[Policy], none: &str| match of {
        [] => none.to_owned(),
        of => of
            .iter()
            .map(|policy| told_policy(policy, &policies))
            .collect::<Vec<_>>()
            .join("\n"),
    };
    match what {
        AdminHold::List => Ok(told(&policies.holds(), "no hold on everybody stands")),
        AdminHold::Set {
            package,
            until,
            remark,
        } => {
            let hold = until.map_or(Hold::UntilLifted, Hold::Until);
            let spec = HoldSpec {
                package,
                hold,
                remark,
            };
            let policy = policies.hold(&console, spec).await?;
            Ok(told_policy(&policy, &policies))
        }
        AdminHold::Lift { package } => {
            let lifted = policies.lift(&console, package).await?;
            Ok(format!("lifted {}", told(&lifted, "nothing: no such hold stood")))
        }
    }
}

fn told_policy(policy: &Policy, policies: &Policies) -> String {
    let spec = &policy.spec;
    let package = spec.package.as_ref().map_or("all packages", PackageName::as_str);
    let ceiling = spec
        .terms
        .max_version
        .map(|version| format!(", at most {version}"));
    let hold = spec.terms.hold.map(|hold| {
        let over = if policy.holds(policies.now()) {
            ""
        } else {
            ", which is over"
        };
        format!(", hold {hold}{over}")
    });
    format!(
        "{} {}, {package}{}{}, made {} by {}: {}",
        policy.id,
        spec.subject,
        ceiling.unwrap_or_default(),
        hold.unwrap_or_default(),
        moment(policy.created_at),
        policy.created_by,
        spec.remark
    )
}
