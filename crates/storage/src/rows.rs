//! Rows as they stand in the tables, and the way from them to the domain's values and back.
//!
//! What a row holds was checked before it was written. When it cannot be read all the same, somebody else wrote
//! it, and that is [`Error::Corrupt`], never the caller's fault.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_domain::{
    Build, BuildFacts, BuildId, BuildSteps, CalendarName, CampaignId, CampaignState, Device, DeviceFacts,
    DeviceId, ExperimentId, InstallTerms, PackageName, Percent, Position, Provenance, Rollout,
    RolloutCalendars, RolloutId, RolloutSettings, RolloutSpec, Sha256, Share, SignerFingerprint, SignerRange,
    Signers, Slice, VersionCode,
};

use crate::schema::{build_signers, builds, devices, nudge_campaigns, rollouts};
use crate::time::{micros, moment, moment_if};
use crate::{ANSWER_MARGIN, Campaign, Error, FOLLOWED_FOR, Progress};

/// PostgreSQL cannot hold U+0000 in a text, and a device may send one.
pub(crate) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

pub(crate) fn clean_if(text: Option<&str>) -> Option<String> {
    text.map(clean)
}

pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|fault| Error::corrupt("a value does not become JSON", fault))
}

pub(crate) fn from_json<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|fault| Error::corrupt(column, fault))
}

pub(crate) fn parsed<T>(column: &str, value: Result<T, tidegate_domain::Error>) -> Result<T, Error> {
    value.map_err(|fault| Error::corrupt(column, fault))
}

pub(crate) fn package_name(text: &str) -> Result<PackageName, Error> {
    parsed("packages.name", PackageName::parse(text))
}

pub(crate) fn device_id(text: &str) -> Result<DeviceId, Error> {
    parsed("devices.name", DeviceId::parse(text))
}

pub(crate) fn version(code: i64) -> Result<VersionCode, Error> {
    parsed("version_code", VersionCode::new(code))
}

/// A number that the domain keeps in 32 bits.
pub(crate) fn small(column: &str, number: i64) -> Result<u32, Error> {
    u32::try_from(number).map_err(|fault| Error::corrupt(column, fault))
}

fn digest(column: &str, bytes: Vec<u8>) -> Result<[u8; 32], Error> {
    bytes
        .try_into()
        .map_err(|_| Error::corrupt(column, "is not 32 bytes long"))
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = builds)]
pub(crate) struct BuildRow {
    pub(crate) id: i64,
    version_code: i64,
    version_name: String,
    sha256: Vec<u8>,
    size: i64,
    schemes_json: String,
    lineage_json: String,
    warnings_json: String,
    min_sdk: i64,
    target_sdk: i64,
    abis_json: String,
    debuggable: bool,
    notes: String,
    build_type: String,
    ci_run_id: String,
    git_sha: String,
    uploaded_by: String,
    uploaded_at: i64,
    installability_json: Option<String>,
    barrier: bool,
    min_from_version: Option<i64>,
}

impl BuildRow {
    pub(crate) fn into_build(self, package: &str, signers: Vec<SignerRow>) -> Result<Build, Error> {
        let signers: Result<Vec<_>, Error> = signers.into_iter().map(SignerRow::into_range).collect();
        let facts = BuildFacts {
            package: package_name(package)?,
            version_code: version(self.version_code)?,
            version_name: self.version_name,
            sha256: Sha256(digest("builds.sha256", self.sha256)?),
            size: u64::try_from(self.size).map_err(|fault| Error::corrupt("builds.size", fault))?,
            signers: parsed("build_signers", Signers::new(signers?))?,
            schemes: from_json("builds.schemes_json", &self.schemes_json)?,
            lineage: from_json("builds.lineage_json", &self.lineage_json)?,
            warnings: from_json("builds.warnings_json", &self.warnings_json)?,
            min_sdk: small("builds.min_sdk", self.min_sdk)?,
            target_sdk: small("builds.target_sdk", self.target_sdk)?,
            abis: from_json("builds.abis_json", &self.abis_json)?,
            debuggable: self.debuggable,
            installability: self
                .installability_json
                .map(|text| from_json("builds.installability_json", &text))
                .transpose()?,
        };
        let provenance = Provenance {
            notes: self.notes,
            build_type: self.build_type,
            ci_run_id: self.ci_run_id,
            git_sha: self.git_sha,
            uploaded_by: self.uploaded_by,
            uploaded_at: moment(self.uploaded_at)?,
        };
        Ok(Build {
            id: BuildId(self.id),
            facts,
            provenance,
            steps: BuildSteps {
                barrier: self.barrier,
                min_from_version: self.min_from_version.map(version).transpose()?,
            },
        })
    }
}

#[derive(Insertable)]
#[diesel(table_name = builds)]
pub(crate) struct NewBuild {
    package_id: i64,
    version_code: i64,
    version_name: String,
    sha256: Vec<u8>,
    size: i64,
    schemes_json: String,
    lineage_json: String,
    warnings_json: String,
    min_sdk: i64,
    target_sdk: i64,
    abis_json: String,
    debuggable: bool,
    notes: String,
    build_type: String,
    ci_run_id: String,
    git_sha: String,
    uploaded_by: String,
    uploaded_at: i64,
    installability_json: Option<String>,
    profile_json: Option<String>,
}

impl NewBuild {
    pub(crate) fn of(
        package_id: i64,
        facts: &BuildFacts,
        provenance: &Provenance,
        profile: Option<&str>,
    ) -> Result<Self, Error> {
        let size = i64::try_from(facts.size)
            .map_err(|_| tidegate_domain::Error::invalid("size", "is beyond all measure"))?;
        Ok(Self {
            package_id,
            version_code: facts.version_code.get(),
            version_name: clean(&facts.version_name),
            sha256: facts.sha256.0.to_vec(),
            size,
            schemes_json: to_json(&facts.schemes)?,
            lineage_json: to_json(&facts.lineage)?,
            warnings_json: to_json(&facts.warnings)?,
            min_sdk: facts.min_sdk.into(),
            target_sdk: facts.target_sdk.into(),
            abis_json: to_json(&facts.abis)?,
            debuggable: facts.debuggable,
            notes: clean(&provenance.notes),
            build_type: clean(&provenance.build_type),
            ci_run_id: clean(&provenance.ci_run_id),
            git_sha: clean(&provenance.git_sha),
            uploaded_by: clean(&provenance.uploaded_by),
            uploaded_at: micros(provenance.uploaded_at),
            installability_json: facts.installability.as_ref().map(to_json).transpose()?,
            profile_json: clean_if(profile),
        })
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = build_signers)]
pub(crate) struct SignerRow {
    pub(crate) build_id: i64,
    from_sdk: i64,
    to_sdk: i64,
    fingerprint: Vec<u8>,
}

impl SignerRow {
    pub(crate) fn of(build_id: i64, range: &SignerRange) -> Self {
        Self {
            build_id,
            from_sdk: range.from_sdk.into(),
            to_sdk: range.to_sdk.into(),
            fingerprint: range.fingerprint.0.to_vec(),
        }
    }

    pub(crate) fn into_range(self) -> Result<SignerRange, Error> {
        Ok(SignerRange {
            fingerprint: SignerFingerprint(digest("build_signers.fingerprint", self.fingerprint)?),
            from_sdk: small("build_signers.from_sdk", self.from_sdk)?,
            to_sdk: small("build_signers.to_sdk", self.to_sdk)?,
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = rollouts)]
pub(crate) struct RolloutRow {
    pub(crate) id: i64,
    pub(crate) build_id: i64,
    state: String,
    is_current: bool,
    percent_hundredths: i32,
    salt: Option<String>,
    audience_json: String,
    wifi_only: bool,
    must_install: bool,
    retry_generation: i64,
    previous_id: Option<i64>,
    rolled_back_from: Option<i64>,
    created_by: String,
    created_at: i64,
    takes_back_version: Option<i64>,
    name: String,
    priority: i64,
    revision: i64,
    slice_start: i64,
    slice_width: i64,
    experiment_id: Option<i64>,
    install_when: String,
    install_deadline_at: Option<i64>,
    download_calendar: Option<String>,
    install_calendar: Option<String>,
    ignore_freeze: bool,
    plan_json: Option<String>,
    gate_json: Option<String>,
    consent_json: String,
    keep_previous: bool,
}

pub(crate) fn calendar_name(text: &str) -> Result<CalendarName, Error> {
    parsed("calendars.name", CalendarName::parse(text))
}

pub(crate) fn position(column: &str, number: i64) -> Result<Position, Error> {
    Position::new(small(column, number)?).ok_or_else(|| Error::corrupt(column, number))
}

impl RolloutRow {
    pub(crate) fn into_rollout(self, package: &str) -> Result<Rollout, Error> {
        let calendar = |name: Option<String>| name.as_deref().map(calendar_name).transpose();
        let settings = RolloutSettings {
            percent: parsed(
                "rollouts.percent_hundredths",
                Percent::of_hundredths(self.percent_hundredths.into()),
            )?,
            slice: Slice {
                start: position("rollouts.slice_start", self.slice_start)?,
                width: parsed("rollouts.slice_width", Share::new(self.slice_width))?,
            },
            salt: self.salt,
            audience: from_json("rollouts.audience_json", &self.audience_json)?,
            wifi_only: self.wifi_only,
            must_install: self.must_install,
            calendars: RolloutCalendars {
                download: calendar(self.download_calendar)?,
                install: calendar(self.install_calendar)?,
            },
            ignore_freeze: self.ignore_freeze,
            install: InstallTerms {
                when: parsed(
                    "rollouts.install_when",
                    InstallTerms::parse_conditions(&self.install_when),
                )?,
                deadline: self.install_deadline_at.map(moment).transpose()?,
            },
        };
        let spec = RolloutSpec {
            package: package_name(package)?,
            build: BuildId(self.build_id),
            name: self.name,
            priority: small("rollouts.priority", self.priority)?,
            revision: small("rollouts.revision", self.revision)?,
            state: parsed("rollouts.state", self.state.parse())?,
            is_current: self.is_current,
            settings,
            retry_generation: small("rollouts.retry_generation", self.retry_generation)?,
            previous: self.previous_id.map(RolloutId),
            rolled_back_from: self.rolled_back_from.map(BuildId),
            takes_back: self.takes_back_version.map(version).transpose()?,
            experiment: self.experiment_id.map(ExperimentId),
            plan: self
                .plan_json
                .map(|text| from_json("rollouts.plan_json", &text))
                .transpose()?,
            gate: self
                .gate_json
                .map(|text| from_json("rollouts.gate_json", &text))
                .transpose()?,
            consent: from_json("rollouts.consent_json", &self.consent_json)?,
            keep_previous: self.keep_previous,
            created_by: self.created_by,
            created_at: moment(self.created_at)?,
        };
        Ok(Rollout {
            id: RolloutId(self.id),
            spec,
        })
    }
}

/// What a transition may change of a rollout.
#[derive(AsChangeset, Insertable)]
#[diesel(table_name = rollouts, treat_none_as_null = true)]
pub(crate) struct RolloutShape {
    state: String,
    is_current: bool,
    serving: bool,
    percent_hundredths: i32,
    salt: Option<String>,
    audience_json: String,
    wifi_only: bool,
    must_install: bool,
    retry_generation: i64,
    takes_back_version: Option<i64>,
    name: String,
    priority: i64,
    revision: i64,
    slice_start: i64,
    slice_width: i64,
    previous_id: Option<i64>,
    plan_json: Option<String>,
    gate_json: Option<String>,
    consent_json: String,
    keep_previous: bool,
    download_calendar: Option<String>,
    install_calendar: Option<String>,
    ignore_freeze: bool,
    install_when: String,
    install_deadline_at: Option<i64>,
}

impl RolloutShape {
    pub(crate) fn of(spec: &RolloutSpec) -> Result<Self, Error> {
        let settings = &spec.settings;
        let calendar = |name: &Option<CalendarName>| name.as_ref().map(ToString::to_string);
        Ok(Self {
            state: spec.state.as_str().into(),
            is_current: spec.is_current,
            serving: spec.state.serves(),
            percent_hundredths: settings.percent.hundredths().into(),
            salt: clean_if(settings.salt.as_deref()),
            audience_json: to_json(&settings.audience)?,
            wifi_only: settings.wifi_only,
            must_install: settings.must_install,
            retry_generation: spec.retry_generation.into(),
            takes_back_version: spec.takes_back.map(VersionCode::get),
            name: clean(&spec.name),
            priority: spec.priority.into(),
            revision: spec.revision.into(),
            slice_start: settings.slice.start.get().into(),
            slice_width: settings.slice.width.get().into(),
            previous_id: spec.previous.map(|id| id.0),
            plan_json: spec.plan.as_ref().map(to_json).transpose()?,
            gate_json: spec.gate.as_ref().map(to_json).transpose()?,
            consent_json: to_json(&spec.consent)?,
            keep_previous: spec.keep_previous,
            download_calendar: calendar(&settings.calendars.download),
            install_calendar: calendar(&settings.calendars.install),
            ignore_freeze: settings.ignore_freeze,
            install_when: settings.install.conditions(),
            install_deadline_at: settings.install.deadline.map(micros),
        })
    }
}

#[derive(Insertable)]
#[diesel(table_name = rollouts)]
pub(crate) struct NewRollout {
    package_id: i64,
    build_id: i64,
    #[diesel(embed)]
    shape: RolloutShape,
    rolled_back_from: Option<i64>,
    experiment_id: Option<i64>,
    created_by: String,
    created_at: i64,
}

impl NewRollout {
    pub(crate) fn of(package_id: i64, spec: &RolloutSpec) -> Result<Self, Error> {
        Ok(Self {
            package_id,
            build_id: spec.build.0,
            shape: RolloutShape::of(spec)?,
            rolled_back_from: spec.rolled_back_from.map(|id| id.0),
            experiment_id: spec.experiment.map(|id| id.0),
            created_by: clean(&spec.created_by),
            created_at: micros(spec.created_at),
        })
    }
}

#[derive(Queryable, QueryableByName, Selectable)]
#[diesel(table_name = devices)]
pub(crate) struct DeviceRow {
    pub(crate) id: i64,
    pub(crate) name: String,
    alias: Option<String>,
    model: Option<String>,
    manufacturer: Option<String>,
    sdk: Option<i64>,
    android_version: Option<String>,
    region: Option<String>,
    tags_json: String,
    fcm_token: Option<String>,
    token_generation: i64,
    enrolled_at: i64,
    last_seen_at: Option<i64>,
    polled_json: Option<String>,
    retired_at: Option<i64>,
    inactive_at: Option<i64>,
    enrolled_generation: i64,
    enrolment_allowed_until_at: Option<i64>,
    duplicate_seen_at: Option<i64>,
}

impl DeviceRow {
    pub(crate) fn into_device(self, installed: Vec<(PackageName, VersionCode)>) -> Result<Device, Error> {
        let tags: Vec<String> = from_json("devices.tags_json", &self.tags_json)?;
        let enrolled = DeviceFacts {
            sdk: self.sdk.map(|sdk| small("devices.sdk", sdk)).transpose()?,
            model: self.model.map(Cow::Owned),
            manufacturer: self.manufacturer.map(Cow::Owned),
            region: self.region.map(Cow::Owned),
            android: self.android_version.map(Cow::Owned),
            tags: Some(tags.join(","))
                .filter(|tags| !tags.is_empty())
                .map(Cow::Owned),
            ..DeviceFacts::default()
        };
        Ok(Device {
            id: device_id(&self.name)?,
            alias: self.alias,
            enrolled,
            polled: self.polled_json.as_deref().map(polled_facts).transpose()?,
            has_fcm_token: self.fcm_token.is_some(),
            token_generation: small("devices.token_generation", self.token_generation)?,
            has_enrolled: self.enrolled_generation > 0,
            enrolment_allowed_until: moment_if(self.enrolment_allowed_until_at)?,
            duplicate_seen_at: moment_if(self.duplicate_seen_at)?,
            installed,
            enrolled_at: moment(self.enrolled_at)?,
            last_seen_at: moment_if(self.last_seen_at)?,
            retired_at: moment_if(self.retired_at)?,
            inactive_at: moment_if(self.inactive_at)?,
        })
    }
}

/// What a device's last poll said of it.
pub(crate) fn polled_facts(json: &str) -> Result<DeviceFacts<'static>, Error> {
    from_json("devices.polled_json", json)
}

/// What a device says of itself when it enrols.
#[derive(Insertable, AsChangeset, Serialize)]
#[diesel(table_name = devices, treat_none_as_null = true)]
pub(crate) struct DeviceShape {
    alias: Option<String>,
    alias_key: Option<String>,
    model: Option<String>,
    manufacturer: Option<String>,
    sdk: Option<i64>,
    android_version: Option<String>,
    region: Option<String>,
    tags_json: String,
    enrolled_at: i64,
}

/// What a device that is known says of itself when it enrols: what it leaves out stays as it was.
#[derive(AsChangeset)]
#[diesel(table_name = devices)]
pub(crate) struct DeviceNews {
    alias: Option<String>,
    alias_key: Option<String>,
    model: Option<String>,
    manufacturer: Option<String>,
    sdk: Option<i64>,
    android_version: Option<String>,
    region: Option<String>,
    tags_json: Option<String>,
    enrolled_at: i64,
}

impl DeviceNews {
    pub(crate) fn of(alias: Option<&str>, facts: &DeviceFacts<'_>, enrolled_at: i64) -> Result<Self, Error> {
        let shape = DeviceShape::of(alias, facts, enrolled_at)?;
        Ok(Self {
            alias: shape.alias,
            alias_key: shape.alias_key,
            model: shape.model,
            manufacturer: shape.manufacturer,
            sdk: shape.sdk,
            android_version: shape.android_version,
            region: shape.region,
            tags_json: Some(shape.tags_json).filter(|_| facts.tags().next().is_some()),
            enrolled_at,
        })
    }
}

impl DeviceShape {
    pub(crate) fn of(alias: Option<&str>, facts: &DeviceFacts<'_>, enrolled_at: i64) -> Result<Self, Error> {
        let tags: Vec<String> = facts.tags().map(clean).collect();
        let alias = clean_if(alias);
        Ok(Self {
            alias_key: alias.as_deref().map(str::to_lowercase),
            alias,
            model: clean_if(facts.model.as_deref()),
            manufacturer: clean_if(facts.manufacturer.as_deref()),
            sdk: facts.sdk.map(i64::from),
            android_version: clean_if(facts.android.as_deref()),
            region: clean_if(facts.region.as_deref()),
            tags_json: to_json(&tags)?,
            enrolled_at,
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = nudge_campaigns)]
pub(crate) struct CampaignRow {
    pub(crate) id: i64,
    request_id: String,
    audience: String,
    named: bool,
    priority: String,
    ttl_s: i64,
    state: String,
    suspended: Option<String>,
    created_by: String,
    created_at: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    followed_until_at: i64,
}

impl CampaignRow {
    pub(crate) fn into_campaign(
        self,
        package: Option<&str>,
        mut progress: Progress,
    ) -> Result<Campaign, Error> {
        let state = parsed("nudge_campaigns.state", self.state.parse())?;
        if state == CampaignState::Canceled {
            progress.canceled = std::mem::take(&mut progress.queued);
        }
        let ttl =
            u64::try_from(self.ttl_s).map_err(|fault| Error::corrupt("nudge_campaigns.ttl_s", fault))?;
        Ok(Campaign {
            id: CampaignId(self.id),
            request_id: self.request_id,
            package: package.map(package_name).transpose()?,
            audience: parsed("nudge_campaigns.audience", self.audience.parse())?,
            named: self.named,
            priority: parsed("nudge_campaigns.priority", self.priority.parse())?,
            ttl: std::time::Duration::from_secs(ttl),
            state,
            suspended: self.suspended,
            created_by: self.created_by,
            created_at: moment(self.created_at)?,
            started_at: moment_if(self.started_at)?,
            ended_at: moment_if(self.ended_at)?,
            answers_due_at: answers_due_at(self.followed_until_at, self.ttl_s)?,
            progress,
        })
    }
}

/// A campaign is followed from the end of its last delivery on, so that moment need not be kept beside.
fn answers_due_at(followed_until_at: i64, ttl_s: i64) -> Result<DateTime<Utc>, Error> {
    let last_settled_at = moment(followed_until_at)?.checked_sub_signed(FOLLOWED_FOR);
    let life = TimeDelta::try_seconds(ttl_s);
    let due = last_settled_at
        .zip(life)
        .and_then(|(at, life)| at.checked_add_signed(life)?.checked_add_signed(ANSWER_MARGIN));
    due.ok_or_else(|| Error::corrupt("nudge_campaigns.ttl_s", ttl_s))
}
