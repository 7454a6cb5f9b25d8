//! `tidegate admin`: what an operator does at the server's own console, where no token can be asked for yet.

use std::io::{self, BufRead, IsTerminal, Read};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tidegate_domain::gate::GateTerms;
use tidegate_domain::{Audience, PackageName, Plan, SdkLevel};
use tidegate_service::{
    Actor, Audiences, Error as Refusal, MAX_COUNTED_DEVICES, MAX_PAGE_SIZE, Package, PackageEdit, Packages,
    Page, Restorations, Snapshots, SystemClock,
};
use tidegate_signing::{MAX_PASSWORD_BYTES, SecretString};

use super::args::{AdminPackage, Signer};
use super::people::lines;
use super::{gate_text, plan_text};
use crate::wiring::{self, Stores};
use crate::{Config, Error};

/// Takes note that a backup was put in the place of the database.
pub(super) async fn restored(config: &Config, init: bool) -> Result<String, Error> {
    let store = Stores::open_made(config, init).await?.store;
    let clock = wiring::clock();
    let snapshots = Arc::new(Snapshots::load(store.clone(), Arc::clone(&clock)).await?);
    let restorations = Restorations::new(store, snapshots, clock);
    restorations.restored(&Actor::console()).await?;
    Ok("all sessions and admin tokens have ended, and numbers skip ahead; repeat the revocations made since the backup: of \
        devices, of users and of tokens"
        .to_owned())
}

/// Shows and changes how packages' releases are made.
pub(super) async fn package(config: &Config, init: bool, what: AdminPackage) -> Result<String, Error> {
    let store = Stores::open_made(config, init).await?.store;
    let packages = Packages::new(store, Arc::new(SystemClock));
    match what {
        AdminPackage::List => lines(|page| packages.list(page), told_package).await,
        AdminPackage::Edit {
            package,
            approval,
            break_glass,
            steps,
            default_plan,
            gate,
            gate_terms,
            no_gate,
        } => {
            let plan = (!steps.is_empty()).then(|| Plan::new(steps)).transpose();
            let plan = plan.map_err(Refusal::from)?;
            let gate = gate_text::terms(gate, &gate_terms, GateTerms::default()).map_err(Refusal::from)?;
            let edit = PackageEdit {
                approval,
                break_glass,
                plan: plan.map(Some).or(default_plan.then_some(None)),
                gate: gate.map(Some).or(no_gate.then_some(None)),
            };
            Ok(told_package(
                &packages.edit(&Actor::console(), &package, edit).await?,
            ))
        }
    }
}

fn told_package(package: &Package) -> String {
    let asked = package.approval_request.as_ref().map(|request| {
        format!(
            " (asked to be lowered to {} by {}; another admin has to ask for it too)",
            request.approval, request.by
        )
    });
    let careful = Plan::careful();
    let steps = package.plan.as_ref().unwrap_or(&careful).steps();
    let steps: Vec<String> = steps.iter().map(plan_text::written).collect();
    let gate = package
        .gate
        .map(|terms| format!("; gate: {}", gate_text::written(terms)));
    format!(
        "{} approval {}{}; plan: {}{}",
        package.name,
        package.approval,
        asked.unwrap_or_default(),
        steps.join(", "),
        gate.unwrap_or_default()
    )
}

/// Shows, sets or removes the signer that a package's builds must carry.
pub(super) async fn signer(config: &Config, init: bool, what: Signer) -> Result<String, Error> {
    let store = Stores::open_made(config, init).await?.store;
    let packages = Packages::new(store, Arc::new(SystemClock));
    let console = Actor::console();
    match what {
        Signer::List => list_signers(&packages).await,
        Signer::Pin { package, sha256 } => Ok(told(&packages.pin(&console, &package, sha256).await?)),
        Signer::Unpin { package } => Ok(told(&packages.unpin(&console, &package).await?)),
    }
}

async fn list_signers(packages: &Packages) -> Result<String, Error> {
    let (mut lines, mut token) = (Vec::new(), None);
    loop {
        let page = Page::new(Some(MAX_PAGE_SIZE), token).map_err(Refusal::from)?;
        let found = packages.list(page).await?;
        lines.extend(found.items.iter().map(told));
        token = found.next_page_token;
        if token.is_none() {
            return Ok(lines.join("\n"));
        }
    }
}

/// A package and its pin, as a line.
fn told(package: &Package) -> String {
    let Some(pin) = &package.pin else {
        return format!("{} is not pinned: its next build decides", package.name);
    };
    let signers = pin.ranges().iter().map(|range| match range.to_sdk {
        SdkLevel::MAX => format!("{} from API level {}", range.fingerprint, range.from_sdk),
        last => format!("{} at API levels {} to {last}", range.fingerprint, range.from_sdk),
    });
    format!("{} {}", package.name, signers.collect::<Vec<_>>().join(", "))
}

/// Reads an audience's expression, and tells whom it takes.
pub(super) async fn check_audience(
    config: &Config,
    init: bool,
    expression: String,
    package: Option<PackageName>,
) -> Result<String, Error> {
    let audience = Audience::parse(&expression).map_err(Refusal::from)?;
    let store = Stores::open_made(config, init).await?.store;
    let clock = wiring::clock();
    let audiences = Audiences::new(store, clock, MAX_COUNTED_DEVICES);
    let reach = audiences.reach(&audience, package.as_ref()).await?;
    let about = if reach.estimated { "about " } else { "" };
    let mut lines = vec![format!("{about}{} of {} devices", reach.devices, reach.total)];
    let unknown = reach.unknown_tags.iter();
    lines.extend(unknown.map(|tag| format!("warning: no device has the tag {tag}")));
    lines.extend(reach.examples.iter().map(ToString::to_string));
    Ok(lines.join("\n"))
}

/// The first line of standard input, or what a person types without its being shown.
pub(super) fn read_password(name: &str) -> Result<SecretString, Error> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        let typed = rpassword::prompt_password(format!("Password for {name}: "))?;
        return Ok(SecretString::from(typed));
    }
    let mut line = String::new();
    // One byte more than is allowed, and a line end, so that too long a password is refused and not cut.
    stdin
        .lock()
        .take(MAX_PASSWORD_BYTES as u64 + 3)
        .read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    Ok(SecretString::from(password))
}

/// A time that is too long for the type becomes the longest one, which every rule refuses.
pub(super) fn delta(time: Duration) -> TimeDelta {
    TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX)
}
