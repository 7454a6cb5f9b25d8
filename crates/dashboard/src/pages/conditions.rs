//! The overview: of each package a bar of its devices by condition, and what was taken back and still runs.

use tidegate_domain::PackageName;
use tidegate_service::{Condition, FleetConditions, PackageConditions, TakenBack};

use crate::show;

/// How many packages are open on the page, and how many are folded below them. The feed tells of as many.
const OPEN: usize = 3;
const FOLDED: usize = 9;
pub(crate) const PACKAGES_TOLD: usize = OPEN + FOLDED;

/// How many units a bar is wide.
const BAR_UNITS: f64 = 1000.0;

/// The packages of the overview.
pub(crate) struct Overview {
    pub open: Vec<PackageView>,
    pub folded: Vec<PackageView>,
    /// How many more there are.
    pub left_out: usize,
    /// The names of all: others are a reason to make the overview anew.
    pub names: String,
    /// What was taken back and still runs.
    pub taken_back: Vec<Notice>,
    /// The same in the feed: another set is a reason to tell it anew.
    pub taken_back_key: String,
}

/// A package's devices.
pub(crate) struct PackageView {
    pub name: String,
    pub key: String,
    pub devices: String,
    pub path: String,
    pub parts: Vec<Part>,
}

/// The devices in one condition.
pub(crate) struct Part {
    pub key: String,
    pub condition: &'static str,
    pub name: &'static str,
    pub meaning: &'static str,
    pub number: String,
    pub share: String,
    pub path: String,
    /// Where it ends in the bar. Bars are painted from the last part to the first, each from the beginning on, so that
    /// the feed moves all by their widths.
    pub end: f64,
    pub is_striped: bool,
}

/// A version that was taken back and that devices still run.
pub(crate) struct Notice {
    pub key: String,
    pub package: String,
    pub version: String,
    pub code: i64,
    /// When and by whom; `None` where nobody knows.
    pub when: Option<(show::Time, String)>,
    pub devices: String,
    pub is_forced: bool,
    pub path: String,
    /// The package's builds.
    pub builds: String,
}

impl Overview {
    /// Of all packages, that which was chosen first.
    pub(crate) fn of(mut of: FleetConditions, chosen: Option<&PackageName>) -> Self {
        let names = names(&of);
        let taken_back_key = taken_back_key(&of);
        let taken_back = of.packages.iter().flat_map(notices).collect();
        of.packages
            .sort_by_key(|package| chosen.is_none_or(|chosen| package.package != *chosen));
        let left_out = of.left_out + of.packages.len().saturating_sub(PACKAGES_TOLD);
        of.packages.truncate(PACKAGES_TOLD);
        let mut open: Vec<PackageView> = of.packages.iter().map(PackageView::of).collect();
        let folded = open.split_off(open.len().min(OPEN));
        Self {
            open,
            folded,
            left_out,
            names,
            taken_back,
            taken_back_key,
        }
    }

    /// Whether devices have asked about anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

/// The names of all packages, in one word of the feed.
pub(crate) fn names(of: &FleetConditions) -> String {
    let mut names: Vec<&str> = of
        .packages
        .iter()
        .map(|package| package.package.as_str())
        .collect();
    names.sort_unstable();
    names.join(",")
}

/// Which versions were taken back, in one word of the feed; `–` for none.
pub(crate) fn taken_back_key(of: &FleetConditions) -> String {
    let versions = of.packages.iter().flat_map(|package| {
        let forced = |version: &TakenBack| if version.is_forced { "!" } else { "" };
        let told = move |version| format!("{}:{}{}", package.package, version_of(version), forced(version));
        package.taken_back.iter().map(told)
    });
    let mut versions: Vec<String> = versions.collect();
    versions.sort_unstable();
    match versions.is_empty() {
        true => "–".to_owned(),
        false => versions.join(","),
    }
}

fn version_of(of: &TakenBack) -> i64 {
    of.version.get()
}

fn notices(of: &PackageConditions) -> impl Iterator<Item = Notice> {
    let path = path(&of.package, Condition::Stranded.as_str());
    of.taken_back.iter().map(move |version| Notice {
        key: taken_back_count(&of.package, version),
        package: of.package.to_string(),
        version: match version.name.trim() {
            "" => version.version.to_string(),
            name => name.to_owned(),
        },
        code: version.version.get(),
        when: version
            .rolled_back
            .as_ref()
            .map(|(at, by)| (show::time(at), by.clone())),
        devices: show::many(version.devices, "device"),
        is_forced: version.is_forced,
        path: path.clone(),
        builds: format!("/builds{}", show::query(&[("package", of.package.as_str())])),
    })
}

/// The name in the feed of the devices on a version that was taken back.
pub(crate) fn taken_back_count(package: &PackageName, of: &TakenBack) -> String {
    format!("c.{package}.v{}", of.version)
}

/// The devices of a package in a state.
fn path(package: &PackageName, state: &str) -> String {
    let query = show::query(&[("package_name", package.as_str()), ("state", state)]);
    format!("/devices{query}")
}

impl PackageView {
    pub(crate) fn of(of: &PackageConditions) -> Self {
        let mut before = 0;
        let part = |(condition, devices): &(Condition, u64)| {
            before += devices;
            Part {
                key: format!("c.{}.{condition}", of.package),
                condition: condition.as_str(),
                name: name(*condition),
                meaning: meaning(*condition),
                number: show::count(*devices),
                share: show::part(*devices, of.devices),
                path: path(&of.package, condition.as_str()),
                end: BAR_UNITS * show::percent_of(whole(before), whole(of.devices)) / 100.0,
                is_striped: is_striped(*condition),
            }
        };
        Self {
            parts: of.conditions.iter().map(part).collect(),
            key: format!("c.{}", of.package),
            name: of.package.to_string(),
            devices: show::many(of.devices, "device"),
            path: path(&of.package, ""),
        }
    }
}

fn whole(devices: u64) -> i64 {
    i64::try_from(devices).unwrap_or(i64::MAX)
}

/// What asks for somebody is told by stripes as well, for those who tell its colour from others badly.
fn is_striped(condition: Condition) -> bool {
    matches!(
        condition,
        Condition::Failing | Condition::Stranded | Condition::Silent
    )
}

/// The condition's word as a name.
pub(crate) fn name(condition: Condition) -> &'static str {
    match condition {
        Condition::Current => "Current",
        Condition::OtherRollout => "Other rollout",
        Condition::Pending => "Pending",
        Condition::NotAsked => "Not asked",
        Condition::Outside => "Outside",
        Condition::Waiting => "Waiting",
        Condition::Blocked => "Blocked",
        Condition::Failing => "Failing",
        Condition::Ahead => "Ahead",
        Condition::Stranded => "Stranded",
        Condition::Silent => "Silent",
        Condition::NotReleased => "Not released",
    }
}

/// The same for those who read it for the first time.
pub(crate) fn meaning(condition: Condition) -> &'static str {
    match condition {
        Condition::Current => "runs the current build",
        Condition::OtherRollout => "runs the build of a canary, an experiment or another rollout",
        Condition::Pending => "was offered a build, has not installed it yet",
        Condition::NotAsked => "has not polled since the release",
        Condition::Outside => "outside the share or the audience",
        Condition::Waiting => "for a time, a window or a person",
        Condition::Blocked => "incompatible, given up, or held by a policy",
        Condition::Failing => "failed with a build and does not run it",
        Condition::Ahead => "runs a higher version that nothing releases",
        Condition::Stranded => "runs a version that was rolled back",
        Condition::Silent => "not seen for a day",
        Condition::NotReleased => "nothing is released to it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(counts: [u64; 12]) -> PackageConditions {
        PackageConditions {
            package: PackageName::parse("com.example.app").unwrap(),
            devices: counts.iter().sum(),
            conditions: Condition::ALL.into_iter().zip(counts).collect(),
            taken_back: vec![],
        }
    }

    #[test]
    fn a_bar_ends_where_its_last_part_does() {
        let view = PackageView::of(&package([50, 0, 25, 0, 0, 0, 0, 0, 0, 24, 0, 1]));
        let ends: Vec<f64> = view.parts.iter().map(|part| part.end).collect();
        assert_eq!(ends[..3], [500.0, 500.0, 750.0]);
        assert_eq!(ends[8..], [750.0, 990.0, 990.0, 1000.0]);
        let shares: Vec<&str> = view.parts.iter().map(|part| part.share.as_str()).collect();
        assert_eq!(shares[..3], ["50.0 %", "0 %", "25.0 %"]);
        assert_eq!(
            view.parts[9].path,
            "/devices?package_name=com.example.app&state=stranded"
        );
    }

    #[test]
    fn a_package_without_devices_has_an_empty_bar() {
        let view = PackageView::of(&package([0; 12]));
        assert!(
            view.parts
                .iter()
                .all(|part| part.end == 0.0 && part.share == "0 %")
        );
    }

    #[test]
    fn the_package_that_was_chosen_comes_first() {
        let named = |number: usize| PackageConditions {
            package: PackageName::parse(&format!("com.example.app{number:02}")).unwrap(),
            ..package([1; 12])
        };
        let fleet = FleetConditions {
            packages: (0..20).map(named).collect(),
            left_out: 5,
        };
        let last = named(19).package;
        let overview = Overview::of(fleet, Some(&last));
        assert_eq!(overview.open[0].name, last.as_str());
        assert_eq!(
            (overview.open.len(), overview.folded.len(), overview.left_out),
            (OPEN, FOLDED, 13)
        );
    }
}
