//! `tidegate admin rollout`, `build` and `package`.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use tidegate_domain::gate::{GateMode, OnHalt, Tolerance};
use tidegate_domain::{
    Approval, CalendarName, InstallCondition, InstallTerms, MAX_PRIORITY, PackageName, PlanStep, RolloutState,
};

use super::calendars::{CalendarOrNone, calendar_or_none};
use super::rfc3339;
use crate::cli::plan_text;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AdminRollout {
    /// Print rollouts, the newest first.
    List {
        /// Those of this package.
        #[arg(long, value_name = "PACKAGE")]
        package: Option<PackageName>,
        /// Those of this build.
        #[arg(long, value_name = "ID")]
        build: Option<i64>,
        /// Those in this state: proposed, scheduled, active, paused, completed, halted, superseded, rolled_back or canceled.
        #[arg(long, value_name = "STATE")]
        state: Option<RolloutState>,
    },
    /// Print a rollout and its terms.
    Show {
        /// Its number, as `list` prints it.
        id: i64,
    },
    /// Release a build: to everybody as the base, or above it to some devices first.
    ///
    /// A poll asks the rollouts of its package by priority, the highest first, and at last the base. The first whose
    /// audience, slice and share take the device decides. The same call again makes no second rollout.
    #[command(after_help = "Examples:
  tidegate admin rollout create 7 --priority 200 --audience '\"canary\" in tags' --percent 100 --name canaries
  tidegate admin rollout create 7 --priority 100 --audience 'region == \"north\"' --percent 25
  tidegate admin rollout create 7 --priority 50 --slice auto:10 --percent 5    other devices than the last time
  tidegate admin rollout create 7 --percent 100                                the base: for everybody
  tidegate admin rollout create 7 --careful                                    1, 5, 10, 25, 50, 100 % by itself
  tidegate admin rollout create 7 --careful --gate act --on-halt roll-back     halted and taken back where it is bad
  tidegate admin rollout create 7 --step '5 bake 1day' --step '100 over 12h'   steps of its own
  tidegate admin rollout create 7 --step '100 devices-per-hour 5000'           at most so many devices an hour")]
    Create(Box<NewRollout>),
    /// Tell what a rollout would do, by the poll's own rules for each device of the fleet. Nothing is changed.
    #[command(after_help = "Examples:
  tidegate admin rollout forecast 7 --careful
  tidegate admin rollout forecast 7 --priority 100 --audience 'region == \"north\"' --step '5 bake 1day' --step '100 over 12h'")]
    Forecast(Box<NewRollout>),
    /// Change a rollout's terms. What is not named stays.
    #[command(after_help = "Examples:
  tidegate admin rollout show 12                                  tells the revision
  tidegate admin rollout edit 12 --revision 3 --percent 0.5
  tidegate admin rollout edit 12 --revision 4 --everybody
  tidegate admin rollout edit 12 --revision 5 --gate hold --failed-percent 0.5

Exit code 1 when somebody else changed the rollout since that revision: look again, and decide anew.")]
    Edit {
        /// Its number, as `list` prints it.
        id: i64,
        /// The revision that you saw, as `show` prints it.
        #[arg(long, value_name = "N")]
        revision: u32,
        #[command(flatten)]
        terms: Box<ChangedTerms>,
        #[command(flatten)]
        gate_terms: Box<GateDetails>,
    },
    /// Stop a rollout: its devices are told `paused` until it is resumed.
    Pause {
        /// Its number, as `list` prints it.
        id: i64,
    },
    /// Begin a scheduled rollout now, or let one that is held go on.
    Start {
        /// Its number, as `list` prints it.
        id: i64,
    },
    /// Begin the next step of a rollout's plan now, whatever the step at hand still waits for.
    Advance {
        /// Its number, as `list` prints it.
        id: i64,
    },
    /// Hold a rollout's share where it is; offers go on. `start` ends it.
    Hold {
        /// Its number, as `list` prints it.
        id: i64,
    },
    /// Approve what waits of a rollout, without a second person.
    ///
    /// Two people approve at the page or over the API. The console is nobody's, so here it takes a reason, which the audit
    /// log keeps under `ota.rollout.break_glass`.
    Approve {
        /// Its number, as `list` prints it.
        id: i64,
        /// Why nobody else can look.
        #[arg(long, value_name = "REASON")]
        break_glass: String,
    },
    /// Refuse what waits of a rollout: a proposed one is canceled, a change dropped, a plan held.
    Deny {
        /// Its number, as `list` prints it.
        id: i64,
    },
    /// Print what happened to a rollout, and what is to come of it by itself.
    Timeline {
        /// Its number, as `list` prints it.
        id: i64,
    },
    /// Print what a rollout's gate found when it looked last, and why it acts so.
    ///
    /// E is what a bet against the build has made of its stake: "340-fold" reads "a bet that the build is fine would have
    /// lost 340-fold". A test halts at 100-fold and three failures, and warns at 10-fold.
    Gate {
        /// Its number, as `list` prints it.
        id: i64,
    },
    /// Go on with a paused or halted rollout.
    ///
    /// A halted one with a gate asks for the failures that you have seen, as `gate` prints them, and why it goes on. Its gate
    /// then counts anew, devices that are offered the build from now on.
    #[command(after_help = "Examples:
  tidegate admin rollout resume 12                                 a paused one
  tidegate admin rollout gate 12                                   tells a halted one's failures
  tidegate admin rollout resume 12 --acknowledged-failures 14 --remark 'one shop without power'

Exit code 1 when there are more failures by now: look again, and decide anew.")]
    Resume {
        /// Its number, as `list` prints it.
        id: i64,
        /// The failures that you have seen.
        #[arg(long, value_name = "N")]
        acknowledged_failures: Option<u64>,
        /// Why it goes on, 1 to 1,000 bytes. The audit log keeps it.
        #[arg(long, value_name = "TEXT")]
        remark: Option<String>,
    },
    /// Stop a rollout whose build was found bad: its devices are told `halted`.
    Halt {
        /// Its number, as `list` prints it.
        id: i64,
    },
    /// End a rollout before it is done. Its devices are judged by those that remain, and keep what they run.
    Cancel {
        /// Its number, as `list` prints it.
        id: i64,
    },
    /// Declare a rollout to everybody done. It goes on serving latecomers.
    Complete {
        /// Its number, as `list` prints it.
        id: i64,
    },
    /// Take a rollout back: the current base goes back to its predecessor, any other one ends.
    RollBack {
        /// Its number, as `list` prints it.
        id: i64,
        /// Offer devices that run its version the base's, which is lower. Their agents must be allowed to install it.
        #[arg(long)]
        force_downgrade: bool,
    },
}

/// A rollout that is to be made.
#[derive(Debug, Args)]
pub(in crate::cli) struct NewRollout {
    /// The build.
    #[arg(value_name = "BUILD")]
    pub(in crate::cli) build: i64,
    /// The share of the slice and the audience in percent, 0.01 to 100, with up to two decimals.
    #[arg(long, value_name = "PERCENT", required_unless_present_any = ["steps", "careful"])]
    pub(in crate::cli) percent: Option<f64>,
    #[command(flatten)]
    pub(in crate::cli) plan: PlanSteps,
    /// 0 makes the package's base and ends the one before. Above: asked before those of a lower priority.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = priority())]
    pub(in crate::cli) priority: u32,
    /// What people call it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(in crate::cli) name: String,
    /// The devices that the share is taken of, as an expression (docs/audiences.md); all when left out.
    #[arg(long, value_name = "EXPRESSION")]
    pub(in crate::cli) audience: Option<String>,
    /// The part of the fleet that the share is taken of, in percent: where it begins and how wide it is, such as 25:50.
    /// `auto` begins where the package's last automatic slice ended.
    #[arg(long, value_name = "START:WIDTH", value_parser = slice_at)]
    pub(in crate::cli) slice: Option<SliceAt>,
    /// Mix this text into the devices' places, so that it begins with others.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) salt: Option<String>,
    /// Let devices download over Wi-Fi only.
    #[arg(long)]
    pub(in crate::cli) wifi_only: bool,
    /// Let devices wait less. No safety rule is passed over.
    #[arg(long)]
    pub(in crate::cli) must_install: bool,
    /// The calendar by which devices download, as `tidegate admin calendar list` prints it.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) download_calendar: Option<CalendarName>,
    /// The calendar by which devices install.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) install_calendar: Option<CalendarName>,
    /// Pass over the calendars' freezes. Their windows still hold.
    #[arg(long)]
    pub(in crate::cli) ignore_freeze: bool,
    /// What has to hold on a device before it installs, all of it: charging, idle, app_consents. Any moment that its safety
    /// rules allow when left out.
    #[arg(long, value_name = "CONDITION,…", value_parser = install_when)]
    pub(in crate::cli) install_when: Option<InstallWhen>,
    /// From then on --install-when is not asked any more, and a device that has not installed is overdue.
    #[arg(long, value_name = "RFC3339", value_parser = rfc3339)]
    pub(in crate::cli) install_deadline: Option<DateTime<Utc>>,
    /// Have a gate watch it: `act` halts it where its build is bad, `hold` doesn't let its plan advance, `watch` only shows
    /// (docs/health-gate.md).
    #[arg(long, value_name = "MODE")]
    pub(in crate::cli) gate: Option<GateMode>,
    #[command(flatten)]
    pub(in crate::cli) gate_terms: GateDetails,
    /// Offer the build anew to devices that gave it up for good.
    #[arg(long)]
    pub(in crate::cli) retry_failed: bool,
    /// Let the bases that serve now go on, for devices that this one doesn't take. For a base only.
    #[arg(long)]
    pub(in crate::cli) keep_previous: bool,
}

/// The steps by which a share grows by itself.
#[derive(Debug, Args)]
pub(in crate::cli) struct PlanSteps {
    /// A step of a plan, which grows the share by itself: "10 over 2h bake 1h not-before 2027-01-04T06:00:00Z approve nudge".
    /// Named once for each step, in their order.
    #[arg(long = "step", value_name = "STEP", value_parser = plan_text::paced_step, conflicts_with = "percent")]
    pub(in crate::cli) steps: Vec<plan_text::PacedStep>,
    /// The careful plan: 1, 5, 10, 25, 50 and 100 %, over three and a half days.
    #[arg(long, conflicts_with_all = ["percent", "steps"])]
    pub(in crate::cli) careful: bool,
}

/// How a package's releases are made.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AdminPackage {
    /// Print every package, which of its releases wait for a second person, and the plan and gate that are proposed for them.
    List,
    /// Change how a package's releases are made. What is not named stays.
    #[command(after_help = "Examples:
  tidegate admin package edit com.example.app --approval 'above 5 %'
  tidegate admin package edit com.example.app --step '5 bake 1day' --step '100 over 12h'
  tidegate admin package edit com.example.app --gate act --failed-percent 1")]
    Edit {
        /// The package.
        package: PackageName,
        /// Which releases wait for a second person: never, always, or above N %.
        #[arg(long, value_name = "WHICH", value_parser = str::parse::<Approval>)]
        approval: Option<Approval>,
        /// Lower approval without a second admin, which the audit log tells.
        #[arg(long, requires = "approval")]
        break_glass: bool,
        /// A step of the plan that is proposed, as of `rollout create`; named once for each.
        #[arg(long = "step", value_name = "STEP", value_parser = plan_text::step)]
        steps: Vec<PlanStep>,
        /// Propose the careful plan again.
        #[arg(long, conflicts_with = "steps")]
        default_plan: bool,
        /// Propose a gate of this mode, act, hold or watch. Promotions have it that don't speak of one.
        #[arg(long, value_name = "MODE")]
        gate: Option<GateMode>,
        #[command(flatten)]
        gate_terms: Box<GateDetails>,
        /// Propose no gate.
        #[arg(long, conflicts_with = "gate")]
        no_gate: bool,
    },
}

/// The terms of a rollout that are to change.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(in crate::cli) struct ChangedTerms {
    /// A step of its plan, as of `create`. All are named, also those that have begun, which stay as they are.
    #[arg(long = "step", value_name = "STEP", value_parser = plan_text::paced_step, conflicts_with = "percent")]
    pub(in crate::cli) steps: Vec<plan_text::PacedStep>,
    /// The share in percent, 0.01 to 100, with up to two decimals.
    #[arg(long, value_name = "PERCENT")]
    pub(in crate::cli) percent: Option<f64>,
    /// A base stays one, and one above stays above.
    #[arg(long, value_name = "N", value_parser = priority())]
    pub(in crate::cli) priority: Option<u32>,
    /// What people call it.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) name: Option<String>,
    /// The devices that the share is taken of, as an expression (docs/audiences.md).
    #[arg(long, value_name = "EXPRESSION")]
    pub(in crate::cli) audience: Option<String>,
    /// Take the share of all devices.
    #[arg(long, conflicts_with = "audience")]
    pub(in crate::cli) everybody: bool,
    /// The part of the fleet that the share is taken of, in percent: where it begins and how wide it is, such as 25:50.
    #[arg(long, value_name = "START:WIDTH", value_parser = slice_at)]
    pub(in crate::cli) slice: Option<SliceAt>,
    /// Whether devices download over Wi-Fi only.
    #[arg(long, value_name = "BOOL")]
    pub(in crate::cli) wifi_only: Option<bool>,
    /// Whether devices wait less. No safety rule is passed over.
    #[arg(long, value_name = "BOOL")]
    pub(in crate::cli) must_install: Option<bool>,
    /// The calendar by which devices download; an empty name: any time will do.
    #[arg(long, value_name = "NAME", value_parser = calendar_or_none)]
    pub(in crate::cli) download_calendar: Option<CalendarOrNone>,
    /// The calendar by which devices install; an empty name: any time will do.
    #[arg(long, value_name = "NAME", value_parser = calendar_or_none)]
    pub(in crate::cli) install_calendar: Option<CalendarOrNone>,
    /// Whether the calendars' freezes are passed over. Their windows hold in any case.
    #[arg(long, value_name = "BOOL")]
    pub(in crate::cli) ignore_freeze: Option<bool>,
    /// What has to hold on a device before it installs, all of it: charging, idle, app_consents; "" for nothing.
    #[arg(long, value_name = "CONDITION,…", value_parser = install_when)]
    pub(in crate::cli) install_when: Option<InstallWhen>,
    /// From then on --install-when is not asked any more, and a device that has not installed is overdue.
    #[arg(long, value_name = "RFC3339", value_parser = rfc3339)]
    pub(in crate::cli) install_deadline: Option<DateTime<Utc>>,
    /// Take the deadline away.
    #[arg(long, conflicts_with = "install_deadline")]
    pub(in crate::cli) no_install_deadline: bool,
    /// Have a gate of this mode watch it, act, hold or watch, in place of the one before; what was counted stays.
    #[arg(long, value_name = "MODE")]
    pub(in crate::cli) gate: Option<GateMode>,
    /// Take its gate away.
    #[arg(long, conflicts_with = "gate")]
    pub(in crate::cli) no_gate: bool,
}

/// What a gate tests, and what follows where it halts a rollout.
#[derive(Debug, Args)]
#[group(skip)]
pub(in crate::cli) struct GateDetails {
    /// The share of devices that the build may fail on, in percent, 0.01 to 50, with up to two decimals; 2 when left out.
    #[arg(long, value_name = "PERCENT", requires = "gate", value_parser = failed_percent)]
    pub(in crate::cli) failed_percent: Option<Tolerance>,
    /// The share of devices that the file may arrive damaged at, likewise; 0.2 when left out.
    #[arg(long, value_name = "PERCENT", requires = "gate", value_parser = corrupt_percent)]
    pub(in crate::cli) corrupt_percent: Option<Tolerance>,
    /// Don't count devices that fall silent.
    #[arg(long, requires = "gate")]
    pub(in crate::cli) no_lost: bool,
    /// Don't count crashes.
    #[arg(long, requires = "gate")]
    pub(in crate::cli) no_crashing: bool,
    /// Keep 5 % back from steps above 90 % until the bake ends, so that there is something to compare with.
    #[arg(long, requires = "gate")]
    pub(in crate::cli) holdback: bool,
    /// What follows where it halts: `hold` waits for somebody, `roll-back` takes the rollout back.
    #[arg(long, value_name = "WHAT", requires = "gate", value_parser = on_halt)]
    pub(in crate::cli) on_halt: Option<OnHalt>,
    /// Let that roll-back take devices back that run the build already. Their agents must be allowed to install it.
    #[arg(long, requires = "on_halt")]
    pub(in crate::cli) force: bool,
}

fn failed_percent(text: &str) -> Result<Tolerance, String> {
    tolerance("--failed-percent", text)
}

fn corrupt_percent(text: &str) -> Result<Tolerance, String> {
    tolerance("--corrupt-percent", text)
}

fn tolerance(field: &'static str, text: &str) -> Result<Tolerance, String> {
    let percent = text
        .parse()
        .map_err(|_| "must be a percentage such as 2 or 0.5")?;
    Tolerance::of_percent(field, percent).map_err(|fault| fault.to_string())
}

/// As the protocol has it, or with a hyphen.
fn on_halt(text: &str) -> Result<OnHalt, String> {
    let word = text.replace('-', "_").parse::<OnHalt>();
    word.map_err(|_| "must be hold or roll-back".to_owned())
}

/// Conditions as people write them, with a comma between.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct InstallWhen(pub(in crate::cli) BTreeSet<InstallCondition>);

fn install_when(text: &str) -> Result<InstallWhen, String> {
    let conditions = InstallTerms::parse_conditions(text);
    conditions.map(InstallWhen).map_err(|fault| fault.to_string())
}

pub(super) fn priority() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=i64::from(MAX_PRIORITY))
}

/// A slice as people write it, in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cli) struct SliceAt {
    /// None for `auto`.
    pub(in crate::cli) start: Option<f64>,
    /// How much of the fleet it is.
    pub(in crate::cli) width: f64,
}

pub(super) fn slice_at(text: &str) -> Result<SliceAt, String> {
    let form = || "must be a start and a width in percent such as 25:50, or auto:10".to_owned();
    let (start, width) = text.split_once(':').unwrap_or((text, "100"));
    let start = match start {
        "auto" => None,
        start => Some(start.parse().map_err(|_| form())?),
    };
    let width = width.parse().map_err(|_| form())?;
    Ok(SliceAt { start, width })
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AdminBuild {
    /// Change which builds devices take in between. Polls are answered by it at once.
    #[command(after_help = "Examples:
  tidegate admin build edit 5 --barrier true       whoever runs less takes build 5 before anything newer
  tidegate admin build edit 7 --min-from 40        whoever runs less than version 40 can't take build 7
  tidegate admin build edit 7 --min-from 0         all can again")]
    Edit {
        /// The build.
        #[arg(value_name = "BUILD")]
        id: i64,
        #[command(flatten)]
        steps: ChangedSteps,
    },
}

/// What devices take in between, as it is to be.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(in crate::cli) struct ChangedSteps {
    /// Whether devices that run an older version must take it before any newer build.
    #[arg(long, value_name = "BOOL")]
    pub(in crate::cli) barrier: Option<bool>,
    /// The version code below which devices can't take it; 0: all can.
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(i64).range(0..))]
    pub(in crate::cli) min_from: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_a_start_and_a_width() {
        let slice = |start, width| SliceAt { start, width };
        assert_eq!(slice_at("25:50"), Ok(slice(Some(25.0), 50.0)));
        assert_eq!(slice_at("25"), Ok(slice(Some(25.0), 100.0)));
        assert_eq!(slice_at("auto:10"), Ok(slice(None, 10.0)));
        assert_eq!(slice_at("auto"), Ok(slice(None, 100.0)));
        for text in ["", ":", "25:", "25-50", "auto:all", "1:2:3"] {
            assert!(slice_at(text).is_err(), "{text}");
        }
    }
}
