//! The commands and their options.

mod calendars;
mod patches;
mod rollouts;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};
use tidegate_domain::{
    ArmDraft, DEFAULT_EXPERIMENT_PRIORITY, DeviceId, MAX_PRIORITY, PackageName, Position, Role, Share,
    SignerFingerprint, Tag, Verb,
};

pub(super) use self::calendars::{AdminCalendar, TermsOfCalendar};
pub(super) use self::patches::Patch;
pub(super) use self::rollouts::{
    AdminBuild, AdminPackage, AdminRollout, ChangedTerms, GateDetails, NewRollout, SliceAt,
};
use super::experiment;

/// How many virtual devices the demo takes at most: each is a task with connections of its own.
#[cfg(feature = "demo")]
const MAX_DEMO_DEVICES: i64 = 5_000;

/// The update server of an Android fleet.
///
/// It takes signed APK builds in, releases each one to a growing share of the fleet, answers every device's poll,
/// counts what happened, and takes a bad build back.
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    max_term_width = 100,
    after_help = "Examples:
  tidegate serve                                   SQLite and a folder, nothing to configure
  tidegate serve --config /etc/tidegate.toml       settings from a file
  TIDEGATE_DATABASE_URL=postgres://… tidegate serve    or from the environment, which wins
  tidegate admin token --subject ann --role admin  a credential for curl
  tidegate apk verify app-release.apk              would a device accept this file?

Every setting is described in docs/operations.md; `tidegate config` prints those in force."
)]
pub struct Cli {
    /// Read settings from this TOML file; TIDEGATE_* variables win over it.
    #[arg(long, global = true, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    pub(super) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve devices and operators until SIGTERM or Ctrl-C.
    ///
    /// Requests under way are finished, and counters written, before the process ends.
    #[command(after_help = "Examples:
  tidegate serve
  tidegate serve --config /etc/tidegate.toml
  TIDEGATE_LISTEN=0.0.0.0:8080 TIDEGATE_PUBLIC_URL=https://updates.example.com tidegate serve")]
    Serve(Serve),
    /// Try everything at once: a server with three sample builds and a fleet of virtual devices.
    ///
    /// Nothing needs to be configured. The devices enrol, poll, download, verify and report over HTTP, and an hour
    /// of theirs is a second. Runs until Ctrl-C and goes on where it was when started again.
    #[cfg(feature = "demo")]
    Demo(Demo),
    /// Print the settings in force, in the form of a configuration file, without secrets.
    Config,
    /// Bring the database's tables up to date, as `serve` does when it starts, and print what was run.
    Migrate {
        /// Only print what would be run, or that the tables are those of a newer version.
        #[arg(long)]
        dry_run: bool,
    },
    /// Look after the builds' files.
    #[command(subcommand)]
    Artifacts(Artifacts),
    /// Take devices and users over from another server.
    #[command(subcommand)]
    Import(Import),
    /// Make a backup of the database in a folder, while the server runs.
    ///
    /// With SQLite, `tidegate.db` is the database as it was at one moment; PostgreSQL is copied with pg_dump. `blobs.jsonl`
    /// lists the builds' files, and `key/master.key` is the master key: keep it in another place than the rest.
    #[command(after_help = "Example:
  tidegate backup /mnt/backup/tidegate-$(date +%F)")]
    Backup {
        /// The folder: not there yet, or empty.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Prove that a backup could be restored: its database opens, its audit log is whole, its builds' files are there.
    #[command(
        after_help = "Exit codes: 0 it is sound, 1 it is not, 2 wrong usage or settings.

Nothing is changed. How to restore one stands in docs/operations.md.

Example:
  tidegate restore --check /mnt/backup/tidegate-2026-11-29"
    )]
    Restore {
        /// Only look. Restoring itself is copying files back.
        #[arg(long, required = true)]
        check: bool,
        /// The backup's folder.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Check the audit log.
    #[command(subcommand)]
    Audit(Audit),
    /// Work on a server's data from its own console: tokens, users and service accounts.
    Admin(AtConsole),
    /// Look into APK files, without a server.
    #[command(subcommand)]
    Apk(Apk),
    /// Make and apply patches between two builds, without a server.
    #[command(subcommand)]
    Patch(Patch),
}

/// How to serve.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Listen here, whatever the settings say.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<SocketAddr>,
    /// Take the time from the clock that `tidegate-sim run --clock PATH` drives. For trying things out.
    #[cfg(feature = "demo")]
    #[arg(long, value_name = "PATH")]
    pub(super) clock: Option<PathBuf>,
}

/// What the demo may be told.
#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub struct Demo {
    /// Keep everything in this folder; a folder of an earlier demo is used again.
    #[arg(long, value_name = "DIR", default_value = "tidegate-demo")]
    pub dir: PathBuf,
    /// Listen here.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "TIDEGATE_LISTEN",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: SocketAddr,
    /// How many virtual devices there are; one in four is a kiosk. Of fewer than a hundred, too few may fail to halt the
    /// bad build.
    #[arg(long, value_name = "N", default_value_t = 600,
          value_parser = clap::value_parser!(u32).range(1..=MAX_DEMO_DEVICES))]
    pub devices: u32,
}

/// What to do at the console, and where.
#[derive(Debug, Args)]
pub(super) struct AtConsole {
    /// Make the key and the database when `serve` has not made them yet, as a provisioning script needs it.
    #[arg(long, global = true)]
    pub(super) init: bool,
    #[command(subcommand)]
    pub(super) what: Admin,
}

#[derive(Debug, Subcommand)]
pub(super) enum Artifacts {
    /// Look for the file of every build, and for files that no build needs. Changes nothing.
    #[command(
        after_help = "Exit codes: 0 every build has its file, 1 some have not, 2 wrong usage or settings.

A missing or damaged file comes back when the same file is uploaded again.

Examples:
  tidegate artifacts check           asks for each file's size
  tidegate artifacts check --read    reads every byte, which finds damage too"
    )]
    Check {
        /// Read every file whole and compare its SHA-256.
        #[arg(long)]
        read: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Recompute the whole chain, look at every account, and compare the log with what its witness was told.
    #[command(
        after_help = "Exit codes: 0 all is as the server wrote it, 1 something is not, 2 wrong usage or settings.

Examples:
  tidegate audit verify
  tidegate audit verify --witness /mnt/witness/tidegate.jsonl
  tidegate audit verify --witness s3://audit-heads/tidegate"
    )]
    Verify {
        /// The witness: a file or s3://BUCKET/PREFIX; the setting audit_witness when left out.
        #[arg(long, value_name = "WHERE")]
        witness: Option<String>,
    },
    /// Print the public key with which the log's heads are signed. Keep it where the server can't change it.
    Key,
}

#[derive(Debug, Subcommand)]
pub(super) enum Admin {
    /// Print a token for the admin surface. It is shown once, listed by `tokens`, and can be revoked.
    #[command(after_help = "Example:
  TOKEN=$(tidegate admin token --subject ann --role operator)
  curl -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8080/v1/apk")]
    Token {
        /// Whose token it is; the name stands in the audit log.
        #[arg(long, value_name = "NAME")]
        subject: String,
        /// viewer reads, operator releases, admin manages people, keys and devices.
        #[arg(long)]
        role: Role,
        /// How long it holds.
        #[arg(long, default_value = "12h", value_parser = humantime::parse_duration)]
        ttl: Duration,
    },
    /// Tokens that were handed out: those that `token` made, and those of service accounts.
    #[command(subcommand)]
    Tokens(Tokens),
    /// Machines that call the admin surface, such as a build pipeline.
    #[command(subcommand)]
    ServiceAccount(ServiceAccount),
    /// Print a token that devices enrol with. It is shown once; only its hash is kept.
    #[command(after_help = "Examples:
  tidegate admin enroll-token --uses 500 --ttl 30d --note \"line 2, spring\"
  tidegate admin enroll-token --uses 500 --qr --component com.example.agent/.Owner \\
    --apk-url https://updates.example.com/agent.apk --signer 1a:2b:…   for the setup of fresh phones")]
    EnrollToken {
        /// How many devices may enrol with it.
        #[arg(long, value_name = "N", default_value_t = 1)]
        uses: u32,
        /// How long it holds.
        #[arg(long, default_value = "7d", value_parser = humantime::parse_duration)]
        ttl: Duration,
        /// What it is for; operators see it.
        #[arg(long, default_value = "")]
        note: String,
        /// Let it take over ids that are enrolled already; what was handed out for them before ends.
        #[arg(long)]
        allow_known: bool,
        #[command(flatten)]
        provisioning: Option<Provisioning>,
    },
    /// Tokens that devices enrol with.
    #[command(subcommand)]
    EnrollTokens(EnrollTokens),
    /// Expressions that say whom a rollout addresses.
    #[command(subcommand)]
    Audience(Audience),
    /// The signer that a package's builds must carry. Its first build sets it by itself.
    #[command(subcommand)]
    Signer(Signer),
    /// Users who may log in with a password.
    #[command(subcommand)]
    User(AdminUser),
    /// Rollouts by their numbers: which builds go to whom, and which of them is asked first.
    #[command(subcommand)]
    Rollout(AdminRollout),
    /// What devices must take on the way to a newer build.
    #[command(subcommand)]
    Build(AdminBuild),
    /// How packages' releases are made: approval by a second person, and the plan that is proposed.
    #[command(subcommand)]
    Package(Box<AdminPackage>),
    /// Tags of devices: groups, rings, testers.
    #[command(subcommand)]
    Tag(AdminTag),
    /// Policies: the highest version that devices may get, and holds, above all rollouts.
    #[command(subcommand)]
    Policy(AdminPolicy),
    /// Make, change and show calendars: at which times rollouts reach devices.
    #[command(subcommand)]
    Calendar(AdminCalendar),
    /// The hold on everybody, which stops all updates of one package or of all.
    #[command(subcommand)]
    Hold(AdminHold),
    /// Experiments: builds tried side by side on parts of the fleet that don't overlap.
    #[command(subcommand)]
    Experiment(Box<AdminExperiment>),
    /// Say that a backup was put in the place of the database. All sessions and admin tokens end, devices' tokens hold.
    ///
    /// The numbers of builds, rollouts and campaigns skip ahead, as devices remember those that were lost. The page asks to
    /// repeat the revocations made since the backup.
    Restored,
}

/// The app that a fresh phone is to fetch and make its owner.
#[derive(Debug, Args)]
#[group(requires_all = ["qr", "component", "apk_url", "signer"])]
pub(super) struct Provisioning {
    /// Print the QR code that a fresh phone reads after six taps on its first screen, and what it says.
    #[arg(long, required = false)]
    pub(super) qr: bool,
    /// The agent's device admin receiver, such as com.example.agent/.Owner.
    #[arg(long, required = false, value_name = "PACKAGE/CLASS", value_parser = component)]
    pub(super) component: String,
    /// Where phones fetch the agent's APK, by https.
    #[arg(long, required = false, value_name = "URL", value_parser = https)]
    pub(super) apk_url: String,
    /// SHA-256 of the certificate that the agent's APK is signed with, as `tidegate apk verify` prints it.
    #[arg(long, required = false, value_name = "SHA256", value_parser = SignerFingerprint::parse)]
    pub(super) signer: SignerFingerprint,
    /// Where phones find this server; public_url by default.
    #[arg(long, value_name = "URL", value_parser = https)]
    pub(super) server: Option<String>,
}

fn component(text: &str) -> Result<String, &'static str> {
    tidegate_service::Provisioning::check_component(text).map(|()| text.to_owned())
}

fn https(text: &str) -> Result<String, &'static str> {
    tidegate_service::Provisioning::check_https(text).map(|()| text.to_owned())
}

#[derive(Debug, Subcommand)]
pub(super) enum EnrollTokens {
    /// Print enrolment tokens, the newest first: id, uses left, end, by whom, note.
    List,
    /// End an enrolment token, on every server at once. Devices that it let in stay.
    Revoke {
        /// Its id, as `list` prints it.
        id: i64,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Import {
    /// Import devices from a file with a JSON object in each line, as docs/migrating.md describes.
    ///
    /// Those that have enrolled here already are left as they are, so that the file can be imported again.
    #[command(
        after_help = "Exit codes: 0 done, 1 some lines were not taken, 2 wrong usage or settings.
Lines that are not, or not wholly, taken are told on standard error."
    )]
    Devices {
        /// The file.
        file: PathBuf,
        /// Only print what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Import people who log in with a password, of which the file has bcrypt hashes.
    #[command(
        after_help = "Exit codes: 0 done, 1 some lines were not taken, 2 wrong usage or settings.
Lines that are not, or not wholly, taken are told on standard error."
    )]
    Users {
        /// The file.
        file: PathBuf,
        /// Only print what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Signer {
    /// Print every package and its signer.
    List,
    /// Let a package's builds carry this signer and no other.
    #[command(after_help = "Example:
  tidegate admin signer pin com.example.app 1a:2b:…    as `tidegate apk verify` prints it, with or without colons")]
    Pin {
        /// The package.
        package: PackageName,
        /// SHA-256 of the signer's certificate, in hex.
        #[arg(value_parser = SignerFingerprint::parse)]
        sha256: SignerFingerprint,
    },
    /// Let a package's next build decide anew. Do this when a signing key was lost.
    Unpin {
        /// The package.
        package: PackageName,
    },
}

/// Devices, on the command line, in a file or both.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct NamedDevices {
    /// Their ids.
    #[arg(value_name = "DEVICE")]
    pub(super) ids: Vec<DeviceId>,
    /// A file with an id in each line. At most 100,000 devices are taken at once.
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum AdminTag {
    /// Print every tag, and how many devices have it.
    List,
    /// Print the devices that have a tag.
    Devices {
        /// The tag.
        tag: Tag,
    },
    /// Give a tag to devices.
    #[command(after_help = "Examples:
  tidegate admin tag add canary till-7 till-8
  tidegate admin tag add north --file north.txt")]
    Add {
        /// The tag. It comes to be with its first device.
        tag: Tag,
        #[command(flatten)]
        devices: NamedDevices,
    },
    /// Take a tag from devices.
    Remove {
        /// The tag.
        tag: Tag,
        #[command(flatten)]
        devices: NamedDevices,
    },
    /// Give a tag another name, on all devices and in all policies.
    Rename {
        /// The tag.
        tag: Tag,
        /// Its new name.
        to: Tag,
    },
    /// Take a tag from all devices, and remove it.
    Delete {
        /// The tag.
        tag: Tag,
    },
}

/// On whom a policy hangs.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Subject {
    /// On the devices with this tag, which need not be there yet.
    #[arg(long, value_name = "TAG")]
    pub(super) tag: Option<Tag>,
    /// On this device.
    #[arg(long, value_name = "DEVICE")]
    pub(super) device: Option<DeviceId>,
    /// On every device.
    #[arg(long)]
    pub(super) everybody: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum AdminPolicy {
    /// Print policies, the newest first.
    List {
        /// Those that hang on this tag.
        #[arg(long, value_name = "TAG")]
        tag: Option<Tag>,
        /// Those that hang on this device.
        #[arg(long, value_name = "DEVICE")]
        device: Option<DeviceId>,
        /// Those that name this package.
        #[arg(long, value_name = "PACKAGE")]
        package: Option<PackageName>,
    },
    /// Add a policy.
    #[command(after_help = "Examples:
  tidegate admin policy add --tag lab --package com.example.app --max-version 41 --remark \"tests of 42 fail\"
  tidegate admin policy add --device till-7 --hold-until 2027-01-04T06:00:00Z --remark \"inventory\"")]
    Add {
        #[command(flatten)]
        subject: Subject,
        /// For this package; for all when left out.
        #[arg(long, value_name = "PACKAGE")]
        package: Option<PackageName>,
        /// Offer nothing above this version code.
        #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(i64).range(1..))]
        max_version: Option<i64>,
        /// Offer nothing at all until somebody takes that back.
        #[arg(long, conflicts_with = "hold_until")]
        hold: bool,
        /// Offer nothing at all until then.
        #[arg(long, value_name = "TIME", value_parser = rfc3339)]
        hold_until: Option<DateTime<Utc>>,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        remark: String,
    },
    /// Change what a policy demands. What is not named stays.
    Change {
        /// Its number, as `list` prints it.
        id: i64,
        /// Offer nothing above this version code.
        #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(i64).range(1..))]
        max_version: Option<i64>,
        /// Allow every version.
        #[arg(long, conflicts_with = "max_version")]
        no_max_version: bool,
        /// Offer nothing at all until somebody takes that back.
        #[arg(long, conflicts_with = "hold_until")]
        hold: bool,
        /// Offer nothing at all until then.
        #[arg(long, value_name = "TIME", value_parser = rfc3339)]
        hold_until: Option<DateTime<Utc>>,
        /// Hold nobody back.
        #[arg(long, conflicts_with_all = ["hold", "hold_until"])]
        no_hold: bool,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        remark: Option<String>,
    },
    /// Remove a policy.
    Remove {
        /// Its number, as `list` prints it.
        id: i64,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AdminExperiment {
    /// Begin an experiment: a rollout above the base for each arm, on slices that follow one another.
    #[command(after_help = "Example:
  tidegate admin experiment create --package com.example.app --name \"new scanner\" \\
    --arm 7=10:old --arm 8=10:new --holdout 10 --audience 'region == \"north\"'")]
    Create(ExperimentTerms),
    /// Print experiments, the newest first.
    List {
        /// Those of this package.
        #[arg(long, value_name = "PACKAGE")]
        package: Option<PackageName>,
    },
    /// Print one with what its arms did, side by side.
    Show {
        /// Its number, as `list` prints it.
        id: i64,
    },
    /// End all arms, and make the winner's build the base.
    #[command(after_help = "Examples:
  tidegate admin experiment conclude 3 --winner 8 --percent 25
  tidegate admin experiment conclude 3 --no-winner")]
    #[command(group = clap::ArgGroup::new("end").required(true).args(["winner", "winner_rollout", "no_winner"]))]
    Conclude {
        /// Its number, as `list` prints it.
        id: i64,
        /// The arm that offers this build won.
        #[arg(long, value_name = "BUILD")]
        winner: Option<i64>,
        /// This arm won.
        #[arg(long, value_name = "ROLLOUT")]
        winner_rollout: Option<i64>,
        /// None won: only end the arms.
        #[arg(long)]
        no_winner: bool,
        /// The share of the new base; 100 when left out.
        #[arg(long, value_name = "PERCENT", conflicts_with = "no_winner")]
        percent: Option<f64>,
    },
}

/// What an experiment is to be.
#[derive(Debug, Args)]
pub(super) struct ExperimentTerms {
    /// Of this package.
    #[arg(long, value_name = "PACKAGE")]
    pub(super) package: PackageName,
    /// What people call it.
    #[arg(long, default_value = "")]
    pub(super) name: String,
    /// An arm: its build, its part of the fleet and what people call it. 2 to 8 of them.
    #[arg(long = "arm", value_name = "BUILD=PERCENT[:NAME]", required = true, value_parser = experiment::arm)]
    pub(super) arms: Vec<ArmDraft>,
    /// The part of the fleet that is only compared with.
    #[arg(long, value_name = "PERCENT", value_parser = experiment::width)]
    pub(super) holdout: Option<Share>,
    /// The devices that all parts are taken of.
    #[arg(long, value_name = "EXPRESSION")]
    pub(super) audience: Option<String>,
    /// Arms are asked before rollouts of a lower priority.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_EXPERIMENT_PRIORITY,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PRIORITY)))]
    pub(super) priority: u32,
    /// Hashed into every position, so that other devices are met.
    #[arg(long, value_name = "TEXT")]
    pub(super) salt: Option<String>,
    /// Where the first arm's part begins; when left out, where the package's last automatic slice ended.
    #[arg(long, value_name = "PERCENT", value_parser = experiment::start)]
    pub(super) start: Option<Position>,
}

#[derive(Debug, Subcommand)]
pub(super) enum AdminHold {
    /// Stop all updates at once, on every server within a second. A later hold for the same takes its place.
    #[command(after_help = "Examples:
  tidegate admin hold set --remark \"tills lose receipts\"
  tidegate admin hold set --package com.example.app --until 2027-01-04T06:00:00Z --remark \"inventory\"")]
    Set {
        /// Of this package; of all when left out.
        #[arg(long, value_name = "PACKAGE")]
        package: Option<PackageName>,
        /// When it ends by itself; when left out, it stands until it is lifted.
        #[arg(long, value_name = "TIME", value_parser = rfc3339)]
        until: Option<DateTime<Utc>>,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        remark: String,
    },
    /// Lift the hold of one package, or that of all.
    Lift {
        /// The package; when left out, the hold of all packages is lifted and those of single ones stay.
        #[arg(long, value_name = "PACKAGE")]
        package: Option<PackageName>,
    },
    /// Print the holds on everybody that stand.
    List,
}

fn rfc3339(text: &str) -> Result<DateTime<Utc>, String> {
    let time = DateTime::parse_from_rfc3339(text);
    let time = time.map_err(|_| "must be an RFC 3339 time such as 2027-01-04T06:00:00Z")?;
    Ok(time.with_timezone(&Utc))
}

#[derive(Debug, Subcommand)]
pub(super) enum AdminUser {
    /// Add somebody. The password is read from standard input, never from the command line.
    #[command(after_help = "Examples:
  tidegate admin user add ann --role admin          asks for the password
  pass show tidegate/ann | tidegate admin user add ann --role admin")]
    Add {
        /// Their name.
        name: String,
        /// viewer reads, operator releases, admin manages people, keys and devices.
        #[arg(long)]
        role: Role,
    },
    /// Print everybody: name, role, last login, and whether they are disabled.
    List,
    /// Let somebody log in no more, and end their sessions and tokens.
    Disable {
        /// Their name.
        name: String,
    },
    /// Let somebody log in again.
    Enable {
        /// Their name.
        name: String,
    },
    /// Give somebody another role, and end their sessions and tokens.
    Role {
        /// Their name.
        name: String,
        /// viewer reads, operator releases, admin manages people, keys and devices.
        role: Role,
    },
    /// Give somebody another password, and end their sessions and tokens. It is read from standard input.
    Password {
        /// Their name.
        name: String,
    },
    /// Remove somebody, and end their sessions and tokens.
    Remove {
        /// Their name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Audience {
    /// Read an expression, and count the devices that it takes now.
    #[command(after_help = "Examples:
  tidegate admin audience check 'region in [\"north\"] && sdk >= 30'
  tidegate admin audience check 'version < 42' --package com.example.app")]
    Check {
        /// The expression.
        expression: String,
        /// The package whose version on the device `version` is.
        #[arg(long, value_name = "NAME", value_parser = PackageName::parse)]
        package: Option<PackageName>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Tokens {
    /// Print tokens, the newest first: id, subject, role, end, last use.
    List {
        /// Only those of this subject, such as service:ci.
        #[arg(long, value_name = "NAME")]
        subject: Option<String>,
    },
    /// End a token, on every server within a second.
    Revoke {
        /// Its id, as `list` prints it. One in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ServiceAccount {
    /// Make a service account, and print its first token. It is shown once.
    #[command(after_help = "Example:
  tidegate admin service-account add ci --role operator --package com.example.app --verb upload --verb promote")]
    Add {
        /// Its name. In the audit log, and as a token's subject, it stands behind `service:`.
        name: String,
        /// viewer reads, operator releases, admin manages people, keys and devices.
        #[arg(long)]
        role: Role,
        /// Let it change this package and no other; may be given several times. For the role operator.
        #[arg(long = "package", value_name = "PACKAGE")]
        packages: Vec<PackageName>,
        /// Let it use this verb and no other: upload, promote, adjust, pause, resume, roll_back, nudge; may be given
        /// several times. For the role operator.
        #[arg(long = "verb", value_name = "VERB")]
        verbs: Vec<Verb>,
        /// How long the token holds.
        #[arg(long, default_value = "90d", value_parser = humantime::parse_duration)]
        ttl: Duration,
    },
    /// Print another token of a service account, to be put in the place of an earlier one.
    Token {
        /// The service account.
        name: String,
        /// How long the token holds.
        #[arg(long, default_value = "90d", value_parser = humantime::parse_duration)]
        ttl: Duration,
    },
    /// Print every service account.
    List,
    /// Remove a service account, and end its tokens.
    Remove {
        /// The service account.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Apk {
    /// Verify a file's signatures as Android does, and print who signed it and on which API levels it installs.
    #[command(
        after_help = "Exit codes: 0 verified, 1 refused, 2 wrong usage or unreadable file.
A verified file may still install on some levels only, or on none: see 'installs on' and the findings.

Examples:
  tidegate apk verify app-release.apk
  tidegate apk verify --json app-release.apk | jq -e '.installs_on | length > 0'
  tidegate apk verify --min-sdk 24 --json app-release.apk | jq -r '.signers[].sha256'"
    )]
    Verify {
        /// The APK.
        file: PathBuf,
        /// The lowest API level of the devices that are to accept it; the file's own minimum when left out.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
        min_sdk: Option<u32>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print how one build differs from another: permissions, levels, signer, components, sizes.
    ///
    /// Nothing is verified. What devices that have the first build hold against the second is told as well.
    #[command(
        after_help = "Exit codes: 0 printed, 1 one of them is not an APK, 2 wrong usage or unreadable file.

Examples:
  tidegate apk diff app-1.2.apk app-1.3.apk
  tidegate apk diff --json app-1.2.apk app-1.3.apk | jq '.permissions.added'"
    )]
    Diff {
        /// The build that is out.
        first: PathBuf,
        /// The build that is to take its place.
        second: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print what a file says about itself. Its signatures are read and not verified.
    #[command(after_help = "Exit codes: 0 printed, 1 not an APK, 2 wrong usage or unreadable file.")]
    Info {
        /// The APK.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn a_token_is_revoked_by_any_id() {
        let line = ["tidegate", "admin", "tokens", "revoke", "-h4Kz_x-"];
        assert!(super::Cli::try_parse_from(line).is_ok());
    }
}
