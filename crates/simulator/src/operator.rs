//! The operator's side: what the simulator asks of the admin surface, and nothing more.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{Client, Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;
use crate::forecast_books::Told;
use crate::life::moment;
use crate::plan_books::Happening;
use crate::release_plan::{Pin, PlannedCalendar, PlannedRollout, hours};

/// How long an admin request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// The server's longest page.
const PAGE_SIZE: u32 = 500;

/// The most hours that the server tells one by one: 30 days.
pub(crate) const HOURS: u32 = 720;

/// The most of an error's words that are repeated, in characters.
const MAX_DETAIL: usize = 300;

/// How long the fleet's enrolment token holds, in seconds.
const TOKEN_TTL_S: u32 = 6 * 3_600;

/// Somebody with a token for the admin surface.
pub(crate) struct Operator {
    http: Client,
    base: String,
    token: String,
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Operator at {}", self.base)
    }
}

/// A rollout, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Rollout {
    pub(crate) rollout_id: i64,
    pub(crate) build_id: i64,
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) is_current: bool,
    pub(crate) priority: i64,
    pub(crate) revision: i64,
    #[serde(default)]
    pub(crate) force_downgrade: bool,
    /// With up to two decimals.
    pub(crate) rollout_percent: f64,
    #[serde(default)]
    pub(crate) salt: Option<String>,
    /// None for everybody.
    #[serde(default)]
    pub(crate) audience: Option<Audience>,
    /// None for the whole fleet.
    #[serde(default)]
    pub(crate) slice: Option<Slice>,
    /// The steps by which its share grows by itself.
    #[serde(default)]
    pub(crate) plan: Option<Value>,
}

/// What happened to a rollout, and when something happens next by itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Timeline {
    /// The earliest first.
    pub(crate) happenings: Vec<Happening>,
    pub(crate) next: Option<DateTime<Utc>>,
    /// Whether anything is to come at all.
    pub(crate) goes_on: bool,
}

impl Rollout {
    /// Whether polls ask it.
    pub(crate) fn serves(&self) -> bool {
        let states = ["scheduled", "active", "paused", "halted", "completed"];
        self.is_current || states.contains(&self.state.as_str())
    }
}

/// Whom a rollout addresses.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Audience {
    pub(crate) expression: String,
}

/// The part of the fleet that a share is taken of, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(crate) struct Slice {
    pub(crate) start: f64,
    pub(crate) width_percent: f64,
}

/// The whole fleet.
impl Default for Slice {
    fn default() -> Self {
        Self {
            start: 0.0,
            width_percent: 100.0,
        }
    }
}

/// A build, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Build {
    pub(crate) build_id: i64,
    pub(crate) version_code: i64,
    pub(crate) version_name: String,
    pub(crate) signer_fingerprint: String,
    #[serde(default)]
    pub(crate) signers: Vec<SignerRange>,
    pub(crate) min_sdk: u32,
    #[serde(default)]
    pub(crate) abis: Vec<String>,
}

/// Which API levels see which certificate.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct SignerRange {
    pub(crate) signer_fingerprint: String,
    pub(crate) from_sdk: u32,
    #[serde(default)]
    pub(crate) to_sdk: Option<u32>,
}

impl Build {
    /// The certificate that a device of this API level sees.
    pub(crate) fn signer_at(&self, sdk: u32) -> &str {
        let range = self
            .signers
            .iter()
            .find(|range| range.from_sdk <= sdk && range.to_sdk.is_none_or(|to| sdk <= to));
        range.map_or(&self.signer_fingerprint, |range| &range.signer_fingerprint)
    }
}

/// A build's statistics: distinct devices, but for the checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Polls while the build was current.
    pub total_checks: u64,
    /// Devices that were offered it.
    pub total_eligible: u64,
    /// Devices that have the whole file.
    pub total_downloads: u64,
    /// Devices that installed it.
    pub installs_success: u64,
    /// Devices on which Android refused it at least once.
    pub installs_failed: u64,
    /// Devices whose file did not verify at least once.
    pub verify_failed: u64,
}

/// All that the server tells of a build's numbers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Stats {
    #[serde(flatten)]
    pub(crate) counts: Counts,
    /// In percent.
    pub(crate) adoption_rate: f64,
    #[serde(default)]
    hours: Vec<Hour>,
    /// What each of the build's rollouts did.
    #[serde(default)]
    pub(crate) rollouts: Vec<RolloutStats>,
}

/// What one rollout did with a build.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(crate) struct RolloutStats {
    pub(crate) rollout_id: i64,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

/// What one hour added.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
struct Hour {
    hour: DateTime<Utc>,
    checks: u64,
    eligible: u64,
    downloads: u64,
    installs_success: u64,
    installs_failed: u64,
    verify_failed: u64,
}

impl Stats {
    /// What the hours from this one on add up to.
    pub(crate) fn by_hour(&self, from: DateTime<Utc>) -> Counts {
        let mut sum = Counts::default();
        for hour in self.hours.iter().filter(|hour| hour.hour >= from) {
            sum.total_checks += hour.checks;
            sum.total_eligible += hour.eligible;
            sum.total_downloads += hour.downloads;
            sum.installs_success += hour.installs_success;
            sum.installs_failed += hour.installs_failed;
            sum.verify_failed += hour.verify_failed;
        }
        sum
    }
}

/// The devices of a package, and how many of them are in each condition.
pub(crate) struct FleetParts {
    pub(crate) devices: usize,
    pub(crate) conditions: Vec<(String, usize)>,
}

impl Operator {
    /// At this address, with this token.
    ///
    /// # Errors
    /// [`Error::Server`] when no HTTP client can be made.
    pub(crate) fn new(base: &str, token: &str) -> Result<Self, Error> {
        // A program that chose its cryptography keeps its choice.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(REQUEST_LIMIT)
            .build();
        Ok(Self {
            http: http.map_err(|fault| Error::Server(fault.to_string()))?,
            base: base.to_owned(),
            token: token.to_owned(),
        })
    }

    /// Whether the server takes requests.
    pub(crate) async fn is_ready(&self) -> bool {
        let asked = self.http.get(format!("{}/readyz", self.base)).send().await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    /// The package's rollouts, newest first.
    pub(crate) async fn rollouts(&self, package: &str) -> Result<Vec<Rollout>, Error> {
        #[derive(Deserialize)]
        struct Page {
            items: Vec<Rollout>,
        }
        let path = format!("/v1/rollouts?package_name={package}&page_size={PAGE_SIZE}");
        let page: Page = self.get(&path).await?;
        Ok(page.items)
    }

    pub(crate) async fn build(&self, id: i64) -> Result<Build, Error> {
        self.get(&format!("/v1/apk/{id}")).await
    }

    /// The package's build of this version, among the newest of a page.
    pub(crate) async fn build_of_version(&self, package: &str, version: i64) -> Result<Build, Error> {
        #[derive(Deserialize)]
        struct Page {
            items: Vec<Build>,
        }
        let path = format!("/v1/apk?package_name={package}&page_size={PAGE_SIZE}");
        let page: Page = self.get(&path).await?;
        let build = page.items.into_iter().find(|build| build.version_code == version);
        build.ok_or_else(|| {
            Error::Usage(format!(
                "there is no build of {package} with the version code {version}; upload it first"
            ))
        })
    }

    pub(crate) async fn stats(&self, build: i64) -> Result<Stats, Error> {
        self.get(&format!("/v1/apk/{build}/deployment-stats?hours={HOURS}"))
            .await
    }

    /// What the server tells of a build's patches; null for a server that knows none.
    pub(crate) async fn patches(&self, build: i64) -> Result<Value, Error> {
        match self.get(&format!("/v1/apk/{build}/patches")).await {
            Err(Error::Refused { status: 404, .. }) => Ok(Value::Null),
            told => told,
        }
    }

    /// What the devices whose names begin so run of a package, as the server believes; those without it are left
    /// out.
    pub(crate) async fn versions(&self, names: &str, package: &str) -> Result<HashMap<String, i64>, Error> {
        #[derive(Deserialize)]
        struct Page {
            items: Vec<Item>,
            #[serde(default)]
            next_page_token: String,
        }
        #[derive(Deserialize)]
        struct Item {
            device_id: String,
            #[serde(default)]
            installed: Vec<Installed>,
        }
        #[derive(Deserialize)]
        struct Installed {
            package_name: String,
            version_code: i64,
        }
        let (mut versions, mut token) = (HashMap::new(), String::new());
        loop {
            let path = format!("/v1/devices?search={names}&page_size={PAGE_SIZE}&page_token={token}");
            let page: Page = self.get(&path).await?;
            for item in page.items {
                let runs = item.installed.into_iter().find(|app| app.package_name == package);
                versions.extend(runs.map(|app| (item.device_id, app.version_code)));
            }
            if page.next_page_token.is_empty() {
                return Ok(versions);
            }
            token = page.next_page_token;
        }
    }

    /// A package's devices by condition.
    pub(crate) async fn fleet_parts(&self, package: &str) -> Result<FleetParts, Error> {
        #[derive(Deserialize)]
        struct Fleet {
            packages: Vec<Package>,
        }
        #[derive(Deserialize)]
        struct Package {
            devices: usize,
            conditions: Vec<Part>,
        }
        #[derive(Deserialize)]
        struct Part {
            condition: String,
            devices: usize,
        }
        let fleet: Fleet = self.get(&format!("/v1/fleet?package_name={package}")).await?;
        let package = fleet.packages.into_iter().next();
        let package = package.ok_or_else(|| Error::Server("the fleet has no such package".to_owned()))?;
        let parts = package.conditions.into_iter();
        Ok(FleetParts {
            devices: package.devices,
            conditions: parts.map(|part| (part.condition, part.devices)).collect(),
        })
    }

    /// How many devices are listed in a condition.
    pub(crate) async fn devices_in(&self, package: &str, condition: &str) -> Result<usize, Error> {
        #[derive(Deserialize)]
        struct Page {
            items: Vec<serde::de::IgnoredAny>,
            #[serde(default)]
            next_page_token: String,
        }
        let (mut devices, mut token) = (0, String::new());
        loop {
            let path = format!(
                "/v1/devices?package_name={package}&condition={condition}&page_size={PAGE_SIZE}&page_token={token}"
            );
            let page: Page = self.get(&path).await?;
            devices += page.items.len();
            if page.next_page_token.is_empty() {
                return Ok(devices);
            }
            token = page.next_page_token;
        }
    }

    /// Whether a device of this name is enrolled.
    pub(crate) async fn knows(&self, device: &str) -> Result<bool, Error> {
        let asked: Result<Value, Error> = self.get(&format!("/v1/devices/{device}")).await;
        match asked {
            Ok(_) => Ok(true),
            Err(Error::Refused { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A token with which so many devices enrol.
    pub(crate) async fn enrollment_token(&self, uses: u32) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Made {
            enrollment_token: String,
        }
        let body = json!({ "uses": uses, "ttl_s": TOKEN_TTL_S, "note": "a simulated fleet" });
        let made: Made = self
            .send(Method::POST, "/v1/enrollment-tokens", Some(&body))
            .await?;
        Ok(made.enrollment_token)
    }

    /// Changes a rollout's share, if it is as it was seen.
    pub(crate) async fn adjust(&self, seen: &Rollout, percent: f64) -> Result<(), Error> {
        let body = json!({ "revision": seen.revision, "rollout_percent": percent });
        let path = format!("/v1/rollouts/{}", seen.rollout_id);
        self.send::<Value>(Method::PATCH, &path, Some(&body))
            .await
            .map(drop)
    }

    /// Makes a rollout. One that is there already is not made again.
    pub(crate) async fn create(&self, build: i64, planned: &PlannedRollout, begin: i64) -> Result<(), Error> {
        let body = draft(build, planned, begin);
        self.send::<Value>(Method::POST, "/v1/rollouts", Some(&body))
            .await
            .map(drop)
    }

    /// What the same would do, were it made now.
    pub(crate) async fn forecast(
        &self,
        build: i64,
        planned: &PlannedRollout,
        begin: i64,
    ) -> Result<Told, Error> {
        let body = draft(build, planned, begin);
        self.send(Method::POST, "/v1/rollouts/forecast", Some(&body))
            .await
    }

    /// Makes a calendar, for a fleet that begins at this moment.
    pub(crate) async fn create_calendar(&self, planned: &PlannedCalendar, begin: i64) -> Result<(), Error> {
        let windows = planned.windows.iter();
        let windows = windows.map(|one| json!({ "days": one.days, "start": one.start, "end": one.end }));
        let freezes = planned.freezes.iter();
        let freezes =
            freezes.map(|one| json!({ "from": time(begin, one.from_h), "to": time(begin, one.to_h) }));
        let mut body = json!({
            "name": planned.name,
            "zone": planned.zone,
            "windows": windows.collect::<Vec<_>>(),
            "freezes": freezes.collect::<Vec<_>>(),
        });
        if let Some(zone) = &planned.fallback_zone {
            body["fallback_zone"] = zone.as_str().into();
        }
        self.send::<Value>(Method::POST, "/v1/calendars", Some(&body))
            .await
            .map(drop)
    }

    /// Does with a rollout what this verb says, such as `pause`.
    pub(crate) async fn act_on(&self, rollout: i64, verb: &str) -> Result<(), Error> {
        let path = format!("/v1/rollouts/{rollout}/{verb}");
        self.send::<Value>(Method::POST, &path, None).await.map(drop)
    }

    /// Makes a rollout with these terms, and returns what the server says of it.
    pub(crate) async fn release(&self, terms: &Value) -> Result<Value, Error> {
        self.send(Method::POST, "/v1/rollouts", Some(terms)).await
    }

    /// Offers a halted rollout again, having seen so many failures.
    pub(crate) async fn resume(&self, rollout: i64, seen: u64, remark: &str) -> Result<Value, Error> {
        let body = json!({ "acknowledged_failures": seen, "remark": remark });
        let path = format!("/v1/rollouts/{rollout}/resume");
        self.send(Method::POST, &path, Some(&body)).await
    }

    /// Any page of the admin surface.
    pub(crate) async fn page(&self, path: &str) -> Result<Value, Error> {
        self.get(path).await
    }

    /// What happened to a rollout: its newest events, which are all of a plan's.
    pub(crate) async fn timeline(&self, rollout: i64) -> Result<Timeline, Error> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            events: Vec<Happening>,
            #[serde(default)]
            coming: Vec<Coming>,
        }
        #[derive(Deserialize)]
        struct Coming {
            #[serde(default)]
            at: Option<DateTime<Utc>>,
        }
        let path = format!("/v1/rollouts/{rollout}/timeline?page_size={PAGE_SIZE}");
        let mut page: Page = self.get(&path).await?;
        page.events.reverse();
        Ok(Timeline {
            happenings: page.events,
            next: page.coming.first().and_then(|coming| coming.at),
            goes_on: !page.coming.is_empty(),
        })
    }

    /// Gives a tag to devices.
    pub(crate) async fn tag(&self, tag: &str, devices: &[&str]) -> Result<(), Error> {
        let path = format!("/v1/tags/{tag}/devices");
        let body = json!({ "add": devices });
        self.send::<Value>(Method::POST, &path, Some(&body))
            .await
            .map(drop)
    }

    /// Keeps devices with a tag at a version of a package.
    pub(crate) async fn pin(&self, package: &str, pin: &Pin) -> Result<(), Error> {
        let body = json!({
            "tag": pin.tag,
            "package_name": package,
            "max_version": pin.max_version,
            "remark": "a simulated fleet",
        });
        self.send::<Value>(Method::POST, "/v1/policies", Some(&body))
            .await
            .map(drop)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.send(Method::GET, path, None).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Error> {
        let what = format!("{method} {path}");
        let lost = |fault: &dyn std::fmt::Display| Error::Server(format!("{what}: {fault}"));
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.base))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|fault| lost(&fault.without_url()))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(refusal(what, status, answer).await);
        }
        answer.json().await.map_err(|fault| lost(&fault.without_url()))
    }
}

/// A rollout as it is posted, for a fleet that begins at this moment.
fn draft(build: i64, planned: &PlannedRollout, begin: i64) -> Value {
    let mut body = json!({
        "build_id": build,
        "name": planned.name,
        "priority": planned.priority,
    });
    if planned.plan.is_empty() {
        body["rollout_percent"] = planned.percent.into();
    } else {
        body["plan"] = steps_of(planned, begin);
    }
    if let Some(calendars) = &planned.calendars {
        body["calendars"] = json!({ "download": calendars.download, "install": calendars.install });
    }
    if let Some(audience) = planned.audience() {
        body["audience"] = audience.into();
    }
    if let Some(slice) = planned.slice {
        let start = slice.start.map_or_else(|| json!("auto"), |start| json!(start));
        body["slice"] = json!({ "start": start, "width_percent": slice.width });
    }
    body
}

/// A plan's steps as they are posted.
fn steps_of(planned: &PlannedRollout, begin: i64) -> Value {
    let span = |hour: f64| format!("{}s", hours(hour).as_secs());
    let steps = planned.plan.iter().map(|step| {
        let mut posted =
            json!({ "percent": step.percent, "over": span(step.over_h), "bake": span(step.bake_h) });
        if let Some(hour) = step.not_before_h {
            posted["not_before"] = time(begin, hour).into();
        }
        posted
    });
    json!({ "steps": steps.collect::<Vec<_>>() })
}

/// So many hours after a moment, as the server reads times.
fn time(begin: i64, hour: f64) -> String {
    let after = i64::try_from(hours(hour).as_millis()).unwrap_or(i64::MAX / 2);
    moment(begin + after).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

async fn refusal(what: String, status: StatusCode, answer: reqwest::Response) -> Error {
    let body: Value = answer.json().await.unwrap_or_default();
    let detail = body["detail"].as_str().unwrap_or("(without words)");
    Error::Refused {
        what,
        status: status.as_u16(),
        detail: detail.chars().take(MAX_DETAIL).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_sees_the_certificate_of_its_api_level() {
        let range = |signer: &str, from_sdk, to_sdk| SignerRange {
            signer_fingerprint: signer.to_owned(),
            from_sdk,
            to_sdk,
        };
        let build = Build {
            build_id: 1,
            version_code: 2,
            version_name: String::new(),
            signer_fingerprint: "old".to_owned(),
            signers: vec![range("old", 1, Some(27)), range("new", 28, None)],
            min_sdk: 21,
            abis: vec![],
        };
        assert_eq!((build.signer_at(27), build.signer_at(28)), ("old", "new"));
    }

    #[test]
    fn a_token_does_not_print() {
        let operator = Operator::new("http://127.0.0.1:1", "secret").unwrap();
        assert!(!format!("{operator:?}").contains("secret"));
    }
}
