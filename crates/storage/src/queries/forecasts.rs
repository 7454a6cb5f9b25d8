//! Asking the fleet about a rollout that nobody has made.

use std::collections::HashMap;

use tidegate_domain::forecast::{
    EarlierRollout, FleetDevice, Forecast, ForecastTerms, Forecaster, MAX_EARLIER,
};
use tidegate_domain::{By, CompiledCalendars, Overlay, PackageName, Percent, PolicySet, Rollout, Track};

use super::recipients::{REVOKED, rejections_of};
use super::{
    BATCH, Conn, audiences, builds, calendars, devices as device_queries, fleet_parts, policies,
    rollout_events, rollouts, tags,
};
use crate::error::Fault;
use crate::rows::version;
use crate::{ForecastOrder, Page, RolloutFilter};

pub(crate) fn ask(
    conn: &mut Conn,
    order: &ForecastOrder,
    goes_on: &impl Fn() -> bool,
) -> Result<Option<Forecast>, Fault> {
    let package = &order.build.facts.package;
    let id = device_queries::package_ids(conn, &[package.as_str()])?;
    let id = id.get(package.as_str()).copied().unwrap_or_default();
    builds::refuse_deleted(conn, order.build.id)?;
    let (policies, calendars) = (policies::all(conn)?, calendars::all(conn)?);
    let fleet = audiences::extent(conn)?.devices;
    let track = rollouts::load_track(conn, id, package)?;
    let mut forecaster = forecaster(conn, order, (id, &track), fleet, (&policies, &calendars))?;
    calendars::require(conn, forecaster.specs().iter())?;
    let pages = Pages {
        package: id,
        // As long as nothing serves, it is not written down who asks.
        asks_all: track.serving.is_empty(),
        one_of: fleet.div_ceil(order.most.max(1)).max(1),
        asks_for_tags: forecaster.needs_tags(),
    };
    let mut after = 0;
    loop {
        if !goes_on() {
            return Ok(None);
        }
        let Some(last) = pages.ask(conn, after, &mut forecaster)? else {
            break;
        };
        after = last;
    }
    let sample_of = (pages.one_of > 1).then(|| forecaster.devices() * pages.one_of);
    Ok(Some(forecaster.finish(order.at, sample_of)))
}

/// Makes the draft as it would be made.
fn forecaster(
    conn: &mut Conn,
    order: &ForecastOrder,
    (id, track): (i64, &Track),
    fleet: u64,
    (policies, calendars): (&PolicySet, &CompiledCalendars),
) -> Result<Forecaster, Fault> {
    let package = &order.build.facts.package;
    let terms = ForecastTerms {
        track,
        policies,
        calendars,
        build: &order.build,
        draft: &order.draft,
        attempts: rollouts::attempts(conn, id)?.of(order.build.id),
        by: By {
            actor: &order.actor,
            on_behalf_of: order.on_behalf_of.as_deref(),
            now: order.at,
        },
        interval: order.interval,
        earlier: &earlier(conn, package)?,
        fleet,
    };
    Ok(Forecaster::new(&terms).map_err(crate::Error::Rule)?)
}

/// The package's last rollouts, with the shares that they began with.
fn earlier(conn: &mut Conn, package: &PackageName) -> Result<Vec<EarlierRollout>, Fault> {
    let filter = RolloutFilter {
        package: Some(package.clone()),
        ..RolloutFilter::default()
    };
    let page = Page::new(u32::try_from(MAX_EARLIER).ok(), None)?;
    let last = rollouts::list(conn, &filter, &page)?.items;
    last.into_iter()
        .map(|rollout| {
            let first = first_share(conn, &rollout)?;
            let mut settings = rollout.spec.settings;
            settings.percent = first;
            Ok(EarlierRollout {
                id: rollout.id,
                name: rollout.spec.name,
                state: rollout.spec.state,
                settings,
            })
        })
        .collect()
}

/// The share of a rollout's first step; of one without a plan the first that it had.
fn first_share(conn: &mut Conn, rollout: &Rollout) -> Result<Percent, Fault> {
    match &rollout.spec.plan {
        Some(run) => Ok(run.plan.first().percent),
        None => {
            let first = rollout_events::first_percent(conn, rollout.id)?;
            Ok(first.unwrap_or(rollout.spec.settings.percent))
        }
    }
}

/// How the fleet is read.
struct Pages {
    package: i64,
    /// Whether devices count that never asked about it.
    asks_all: bool,
    /// Each device, or every second, third, … one.
    one_of: u64,
    asks_for_tags: bool,
}

impl Pages {
    /// Asks about one page, and returns the number of its last device.
    fn ask(&self, conn: &mut Conn, after: i64, forecaster: &mut Forecaster) -> Result<Option<i64>, Fault> {
        let which = format!("{} AND NOT ({REVOKED})", fleet_parts::after(after, self.one_of));
        let candidates = fleet_parts::read(conn, &which, BATCH, self.package)?;
        let last = candidates.last().map(|candidate| candidate.device.id);
        let ids: Vec<i64> = candidates.iter().map(|candidate| candidate.device.id).collect();
        let overlays = match self.asks_for_tags {
            true => tags::overlays(conn, &ids)?,
            false => HashMap::new(),
        };
        let rejections = rejections_of(conn, ids)?;
        for candidate in candidates {
            let unknown = self.asks_all.then_some(0);
            let (id, Some(installed)) = (candidate.device.id, candidate.version_code.or(unknown)) else {
                continue;
            };
            let device = candidate.device.into_device(vec![])?;
            forecaster.add(&FleetDevice {
                id: device.id.as_str(),
                installed: version(installed)?,
                facts: device.facts(),
                rejections: rejections.get(&id).map_or(&[][..], Vec::as_slice),
                overlay: overlays.get(&id).unwrap_or(Overlay::none()),
                last_seen: device.last_seen_at,
            });
        }
        Ok(last)
    }
}
