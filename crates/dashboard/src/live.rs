//! Live numbers: one ticker for the whole server, and any number of listeners.
//!
//! The ticker measures once a second while anybody listens, and not at all otherwise; listeners are handed the same
//! text, so a wall of open pages costs the database what one does. Every tick tells all values, so one that was
//! missed needs no repetition.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use tidegate_domain::{BuildId, DeploymentStats, Percent, Rollout, RolloutId};
use tidegate_service::{Error, Page as PageOf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::AppState;
use crate::pages::conditions::{self, PACKAGES_TOLD, PackageView};
use crate::pages::{fleet, health, nudges, plan};
use crate::session::{Listener, Visitor};
use crate::show;

/// How often is measured.
const TICK: Duration = Duration::from_secs(1);

/// How many may listen at once. Each holds a connection.
pub(crate) const MAX_LISTENERS: usize = 1_000;

/// After how long a browser tries again when the connection is lost.
const RETRY: Duration = Duration::from_secs(2);

/// How often a silent connection is used, so that neither end nor a proxy takes it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Asks a proxy to pass an answer on as it comes.
///
/// Source: <https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering>
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How many campaigns are told of, the youngest first.
const CAMPAIGNS_TOLD: u32 = 10;

/// How many gates are told of: each is a question to the database.
const GATES_TOLD: usize = 20;

/// Over how many ticks polls per second are averaged: counters are written once a second, and not in step with us.
const RATE_TICKS: usize = 10;

/// What listeners subscribe to.
pub(crate) struct Feed {
    ticks: watch::Receiver<Arc<str>>,
    stop: CancellationToken,
    places: Arc<Semaphore>,
}

/// Measures the numbers, and sends them to all listeners.
pub(crate) struct Ticker {
    ticks: watch::Sender<Arc<str>>,
    stop: CancellationToken,
    polls: Rate,
}

pub(crate) fn feed(stop: CancellationToken) -> (Feed, Ticker) {
    let (sender, receiver) = watch::channel(Arc::from("{}"));
    let feed = Feed {
        ticks: receiver,
        stop: stop.clone(),
        places: Arc::new(Semaphore::new(MAX_LISTENERS)),
    };
    let ticker = Ticker {
        ticks: sender,
        stop,
        polls: Rate::default(),
    };
    (feed, ticker)
}

impl Ticker {
    /// Measures until the server stops.
    pub(crate) async fn run(mut self, app: Weak<AppState>) {
        let mut rhythm = tokio::time::interval(TICK);
        rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = rhythm.tick() => {}
                () = self.stop.cancelled() => return,
            }
            let Some(app) = app.upgrade() else { return };
            // The feed itself holds one receiver.
            if self.ticks.receiver_count() <= 1 {
                self.polls = Rate::default();
                continue;
            }
            match self.measure(&app).await {
                Ok(tick) => drop(self.ticks.send(tick)),
                Err(error) => tracing::warn!(%error, "the dashboard's numbers could not be read"),
            }
        }
    }

    async fn measure(&mut self, app: &AppState) -> Result<Arc<str>, Error> {
        let mut values = Map::new();
        let mut bars = Map::new();
        let serving = app.builds.serving();
        let ids: Vec<BuildId> = serving.iter().map(|(build, _)| *build).collect();
        let of_builds = app.builds.stats_of(&ids).await?;
        let of_rollouts = stats_of_rollouts(app, &serving).await?;
        for (build, rollout) in &serving {
            let key = (rollout.id, *build);
            let percent = rollout.spec.percent(app.clock.now());
            let stats = of_rollouts.get(&key).copied().unwrap_or_default();
            of_rollout(*build, rollout, percent, &stats, &mut values);
            let stats = of_builds.get(build).copied().unwrap_or_default();
            of_build(*build, rollout, percent, &stats, &mut values, &mut bars);
        }
        let checks: Vec<_> = of_rollouts
            .iter()
            .map(|(key, stats)| (*key, stats.total_checks))
            .collect();
        of_gates(app, &serving, &mut values).await?;
        of_fleet(app, &mut values);
        of_conditions(app, &mut values, &mut bars);
        let progress = of_campaigns(app, &mut values).await?;
        let polls = self.polls.add(&checks, app.clock.now());
        values.insert("fleet.polls".to_owned(), polls.into());
        Ok(json!({ "values": values, "bars": bars, "progress": progress })
            .to_string()
            .into())
    }
}

fn of_fleet(app: &AppState, values: &mut Map<String, Value>) {
    let overview = app.fleet.overview();
    let tile = fleet::tile(&overview);
    values.insert(format!("fleet.{}", tile.key), tile.number.into());
    values.insert(format!("fleet.{}.of", tile.key), tile.of.into());
    if let Some(at) = overview.measured_at {
        values.insert("fleet.measured".to_owned(), show::moment(at).into());
    }
    for standings in app.fleet.standings() {
        let mut tell = |word: &str, devices: u64| {
            values.insert(
                fleet::standing_key(&standings.package, word),
                show::count(devices).into(),
            );
        };
        tell("devices", standings.devices);
        for (told, devices) in &standings.told {
            tell(told.as_str(), *devices);
        }
    }
}

/// The devices of the packages that the overview shows.
fn of_conditions(app: &AppState, values: &mut Map<String, Value>, bars: &mut Map<String, Value>) {
    let of = app.fleet.conditions();
    values.insert("fleet.packages".to_owned(), conditions::names(&of).into());
    values.insert(
        "fleet.taken_back".to_owned(),
        conditions::taken_back_key(&of).into(),
    );
    for package in of.packages.iter().take(PACKAGES_TOLD) {
        let view = PackageView::of(package);
        values.insert(format!("{}.devices", view.key), view.devices.into());
        for part in view.parts {
            values.insert(format!("{}.of", part.key), part.share.into());
            bars.insert(part.key.clone(), part.end.into());
            values.insert(part.key, part.number.into());
        }
        for version in &package.taken_back {
            let key = conditions::taken_back_count(&package.package, version);
            values.insert(key, show::many(version.devices, "device").into());
        }
    }
}

/// What the gates found that watch rollouts, in a sentence each.
async fn of_gates(
    app: &AppState,
    serving: &[(BuildId, Rollout)],
    values: &mut Map<String, Value>,
) -> Result<(), Error> {
    let watched = serving.iter().filter(|(_, rollout)| rollout.spec.gate.is_some());
    for (_, rollout) in watched.take(GATES_TOLD) {
        if let Some(gate) = app.rollouts.gate_of(rollout.clone()).await? {
            values.insert(format!("r{}.gate", rollout.id), gate.sentence().into());
            values.insert(format!("r{}.health", rollout.id), health::mark(&gate).into());
        }
    }
    Ok(())
}

/// What the rollouts that serve did, with each build that they hand out. One that nobody met yet has done nothing.
async fn stats_of_rollouts(
    app: &AppState,
    serving: &[(BuildId, Rollout)],
) -> Result<HashMap<(RolloutId, BuildId), DeploymentStats>, Error> {
    let ids = serving.iter().map(|(_, rollout)| rollout.id).collect();
    let unmet = serving
        .iter()
        .map(|(build, rollout)| ((rollout.id, *build), DeploymentStats::default()));
    let mut found: HashMap<_, _> = unmet.collect();
    let told = app.builds.stats_of_rollouts(ids).await?;
    found.extend(told.into_iter().map(|of| ((of.rollout, of.build), of.stats)));
    Ok(found)
}

/// The youngest campaigns, and of each how many messages were sent: what failed is told as a number, and is no progress.
async fn of_campaigns(app: &AppState, values: &mut Map<String, Value>) -> Result<Map<String, Value>, Error> {
    let mut sent = Map::new();
    let page = PageOf::new(Some(CAMPAIGNS_TOLD), None).map_err(Error::from)?;
    for campaign in app.nudges.list(page).await?.items {
        let id = campaign.id;
        values.insert(format!("n{id}.state"), campaign.state.to_string().into());
        for (_, name, number) in nudges::numbers(&campaign, app.nudges.no_answer(&campaign)) {
            values.insert(format!("n{id}.{name}"), number.into());
        }
        sent.insert(format!("n{id}.progress"), campaign.progress.sent.into());
    }
    Ok(sent)
}

/// The numbers of a build or of a rollout, by the names of their places.
pub(crate) fn counts(stats: &DeploymentStats) -> [(&'static str, i64); 5] {
    [
        ("eligible", stats.total_eligible),
        ("downloaded", stats.total_downloads),
        ("installed", stats.installs_success),
        ("failed", stats.installs_failed),
        ("verify_failed", stats.verify_failed),
    ]
}

/// What one rollout did with a build. Two rollouts of a build are told apart.
fn of_rollout(
    build: BuildId,
    rollout: &Rollout,
    percent: Percent,
    stats: &DeploymentStats,
    values: &mut Map<String, Value>,
) {
    let id = rollout.id;
    values.insert(format!("r{id}.percent"), percent.to_string().into());
    values.insert(format!("r{id}.state"), rollout.spec.state.to_string().into());
    values.insert(format!("r{id}.plan"), plan::mark(rollout).into());
    for (name, count) in counts(stats) {
        values.insert(format!("r{id}.b{build}.{name}"), show::count(count).into());
    }
}

/// A build's totals, with the share and state of the rollout that its page shows: the first of those that serve it.
fn of_build(
    build: BuildId,
    rollout: &Rollout,
    percent: Percent,
    stats: &DeploymentStats,
    values: &mut Map<String, Value>,
    bars: &mut Map<String, Value>,
) {
    let rollouts = format!("b{build}.rollouts");
    if let Some(Value::String(first)) = values.get_mut(&rollouts) {
        first.push(',');
        first.push_str(&rollout.id.to_string());
        return;
    }
    values.insert(rollouts, rollout.id.to_string().into());
    let told = [
        ("percent", percent.to_string()),
        ("state", rollout.spec.state.to_string()),
        ("checks", show::count(stats.total_checks)),
        ("adoption", show::share(stats.adoption_rate())),
    ];
    for (name, value) in told {
        values.insert(format!("b{build}.{name}"), value.into());
    }
    bars.insert(format!("b{build}.percent"), percent.as_decimal().into());
    for (name, part) in counts(stats) {
        values.insert(format!("b{build}.{name}"), show::count(part).into());
        let percent = show::percent_of(part, stats.total_eligible).min(100.0);
        bars.insert(format!("b{build}.{name}"), percent.into());
    }
}

/// Polls per second, from the counters of the rollouts that serve. A build's own counter would be read once for each of
/// its rollouts.
#[derive(Default)]
struct Rate {
    last: HashMap<(RolloutId, BuildId), i64>,
    /// All polls since somebody listens, at each tick.
    sums: VecDeque<(i64, DateTime<Utc>)>,
}

impl Rate {
    fn add(&mut self, counts: &[((RolloutId, BuildId), i64)], now: DateTime<Utc>) -> String {
        // A rollout that serves again brings the polls of its past along: they are not of now.
        let rises = counts.iter().filter_map(|(key, count)| {
            let last = self.last.get(key)?;
            Some((count - last).max(0))
        });
        let sum = self.sums.back().map_or(0, |(sum, _)| *sum) + rises.sum::<i64>();
        self.last = counts.iter().copied().collect();
        self.sums.push_back((sum, now));
        while self.sums.len() > RATE_TICKS {
            self.sums.pop_front();
        }
        let (Some(first), Some(last)) = (self.sums.front(), self.sums.back()) else {
            return "–".to_owned();
        };
        let seconds = (last.1 - first.1).num_milliseconds();
        if seconds <= 0 {
            return "–".to_owned();
        }
        let rate = show::percent_of(last.0 - first.0, seconds) * 10.0;
        if rate >= 100.0 {
            show::count((last.0 - first.0) * 1000 / seconds)
        } else {
            format!("{rate:.1}")
        }
    }
}

/// The ticks, for as long as the session holds and the server runs.
pub(crate) async fn listen(
    State(app): State<Arc<AppState>>,
    _: Listener,
    headers: HeaderMap,
) -> Result<impl IntoResponse, StatusCode> {
    let place = Arc::clone(&app.live.places)
        .try_acquire_owned()
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let subscription = Subscription {
        ticks: app.live.ticks.clone(),
        stop: app.live.stop.clone(),
        headers,
        app,
        greeted: false,
        _place: place,
    };
    let events = futures::stream::unfold(subscription, |mut subscription| async {
        let event = subscription.next().await?;
        Some((Ok::<_, Infallible>(event), subscription))
    });
    let feed = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // nginx would otherwise keep the numbers back until they fill its buffer.
    Ok(([(X_ACCEL_BUFFERING, "no")], feed))
}

/// One listener's connection. It ends with the session, or when the server stops.
struct Subscription {
    ticks: watch::Receiver<Arc<str>>,
    stop: CancellationToken,
    headers: HeaderMap,
    app: Arc<AppState>,
    greeted: bool,
    _place: OwnedSemaphorePermit,
}

impl Subscription {
    async fn next(&mut self) -> Option<Event> {
        if !std::mem::replace(&mut self.greeted, true) {
            // Something at once, so that the page knows that it is connected.
            return Some(Event::default().event("hello").retry(RETRY).data("{}"));
        }
        tokio::select! {
            changed = self.ticks.changed() => changed.ok()?,
            () = self.stop.cancelled() => return None,
        }
        // A session that has ended sees no more; the page finds out when it asks again.
        Visitor::of(&self.app, &self.headers)?;
        let tick = Arc::clone(&self.ticks.borrow_and_update());
        Some(Event::default().event("tick").data(&*tick))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_per_second_are_an_average_over_some_ticks() {
        let at = |second: i64| DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap();
        let (old, new) = ((RolloutId(1), BuildId(1)), (RolloutId(2), BuildId(2)));
        let mut rate = Rate::default();
        assert_eq!(rate.add(&[(old, 1_000)], at(0)), "–");
        assert_eq!(rate.add(&[(old, 1_000)], at(1)), "0.0");
        assert_eq!(rate.add(&[(old, 1_009)], at(2)), "4.5");
        assert_eq!(rate.add(&[(old, 9_000)], at(4)), "2,000");
        assert_eq!(rate.add(&[(new, 50)], at(8)), "1,000", "a promotion loses none");
        assert_eq!(
            rate.add(&[(new, 50), (old, 999_999)], at(10)),
            "800",
            "an old rollout that serves again brings its past along, which is not counted"
        );
    }
}
