//! What a rollout would do, asked of the fleet as it is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_domain::forecast::Forecast;
use tidegate_domain::{
    Build, CalendarName, DeviceFacts, DeviceId, Percent, Plan, PlanStep, Position, Promotion, Reason,
    ReportStatus, RolloutCalendars, RolloutDraft, Span,
};
use tidegate_storage::{AuditFilter, Error, ForecastOrder, Page, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    APP, actor, at, device, enroll_many, poll, promote, promotion, proven, release, report, rollout_of, seen,
    upload,
};

on_both_engines!(
    each_device_that_asks_for_the_package_is_counted_once,
    a_large_fleet_is_sampled,
    before_the_first_release_all_devices_count,
    what_making_it_would_be_refused_for_the_forecast_is_refused_for,
    earlier_canaries_are_those_of_the_first_share,
    nobody_waits_for_it_any_more,
);

fn order(build: &Build, promotion: Promotion) -> ForecastOrder {
    ForecastOrder {
        build: build.clone(),
        draft: RolloutDraft {
            name: String::new(),
            priority: 0,
            promotion,
        },
        actor: "ann".to_owned(),
        on_behalf_of: None,
        at: at(100),
        interval: Duration::from_secs(6 * 3_600),
        most: 1_000_000,
    }
}

async fn asked(store: &Store, order: ForecastOrder) -> Result<Forecast, Error> {
    let forecast = store.forecast(order, || true).await?;
    Ok(forecast.expect("somebody waits for it"))
}

async fn forecast(store: &Store, build: &Build, promotion: Promotion) -> Forecast {
    asked(store, order(build, promotion)).await.unwrap()
}

fn two_steps() -> Promotion {
    let step = |percent| PlanStep::to(Percent::new(percent).unwrap(), Span::hours(1));
    Promotion {
        plan: Some(Plan::new(vec![step(30), step(100)]).unwrap()),
        ..promotion(1)
    }
}

/// Everything that a change would leave behind.
async fn traces(store: &Store) -> (tidegate_storage::Epochs, usize) {
    let audit = store
        .audit(AuditFilter::default(), Page::default())
        .await
        .unwrap();
    (store.epochs().await.unwrap(), audit.items.len())
}

fn below(devices: &[DeviceId], percent: u32) -> u64 {
    let place = |id: &&DeviceId| Position::of(id.as_str(), None).get() < percent * 1_000_000;
    devices.iter().filter(place).count() as u64
}

async fn each_device_that_asks_for_the_package_is_counted_once(place: &Place) {
    let store = place.store().await;
    let (_, base) = release(&store, APP, 1).await;
    let build = upload(&store, APP, 2).await;
    let devices = enroll_many(&store, 80).await;
    let old = DeviceFacts {
        sdk: Some(5),
        ..DeviceFacts::default()
    };
    let polls = devices[4..].iter().enumerate().map(|(number, id)| {
        let mut seen = seen(id, 10, 1);
        seen.facts = if number < 2 {
            old.clone()
        } else {
            DeviceFacts::default()
        };
        seen
    });
    poll(&store, polls.collect()).await;
    // The first four never asked. Of the others one is retired, one revoked, and one gave the build up.
    let note = |action, id: &DeviceId| actor("ada").note(action, format!("device/{id}"));
    store
        .retire_device(&devices[10], note("device.retire", &devices[10]))
        .await
        .unwrap();
    store
        .revoke(&devices[11], note("device.revoke", &devices[11]))
        .await
        .unwrap();
    let failed = tidegate_domain::Report {
        android_status: Some(4),
        ..report(build.id, ReportStatus::InstallFailed)
    };
    store
        .record_reports(vec![proven(&devices[12], base, failed, 20)])
        .await
        .unwrap();
    let before = traces(&store).await;

    let forecast = forecast(&store, &build, two_steps()).await;
    assert_eq!(forecast.devices, 74);
    let [first, last] = &forecast.steps[..] else {
        panic!("two steps")
    };
    assert_eq!(last.offered, 71);
    assert_eq!(
        last.reasons,
        [(Reason::IncompatibleSdk, 2), (Reason::RejectedByDevice, 1)]
    );
    let asks: Vec<DeviceId> = devices[6..]
        .iter()
        .filter(|id| !devices[10..13].contains(id))
        .cloned()
        .collect();
    assert_eq!(asks.len(), 71);
    assert_eq!(first.offered, below(&asks, 30));
    assert_eq!(first.new_devices + last.new_devices, 71);
    assert_eq!(forecast.steps[1].bytes, last.new_devices * build.facts.size);
    assert_eq!(traces(&store).await, before, "nothing was written");
}

async fn a_large_fleet_is_sampled(place: &Place) {
    let store = place.store().await;
    release(&store, APP, 1).await;
    let build = upload(&store, APP, 2).await;
    let devices = enroll_many(&store, 90).await;
    poll(&store, devices.iter().map(|id| seen(id, 10, 1)).collect()).await;
    let mut order = order(&build, promotion(100));
    order.most = 30;
    let forecast = asked(&store, order.clone()).await.unwrap();
    assert!(forecast.sampled);
    assert_eq!((forecast.devices, forecast.steps[0].offered), (90, 90));
    order.most = 90;
    assert!(!asked(&store, order).await.unwrap().sampled);
}

async fn before_the_first_release_all_devices_count(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 2).await;
    enroll_many(&store, 3).await;
    let first = forecast(&store, &build, promotion(100)).await;
    assert_eq!(
        (first.devices, first.steps[0].offered, first.steps[0].unreachable),
        (3, 3, 3)
    );
    promote(&store, &build, promotion(10)).await;
    assert_eq!(forecast(&store, &build, promotion(100)).await.devices, 0);
}

async fn what_making_it_would_be_refused_for_the_forecast_is_refused_for(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 1).await;
    let by_night = |name: &str| {
        let mut promotion = promotion(10);
        promotion.settings.calendars = RolloutCalendars {
            download: Some(CalendarName::parse(name).unwrap()),
            install: None,
        };
        promotion
    };
    for wrong in [promotion(0), by_night("nights")] {
        let (build, making) = (build.clone(), wrong.clone());
        let made = store
            .change_track(
                build.facts.package.clone(),
                actor("ann"),
                move |track, attempts| {
                    let by = crate::samples::by();
                    track.promote(&build, &making, attempts.of(build.id), by)
                },
            )
            .await
            .unwrap_err();
        let refused = asked(&store, order(&crate_build(&store).await, wrong))
            .await
            .unwrap_err();
        assert_eq!(refused.to_string(), made.to_string());
    }
}

/// The only build, as it is stored.
async fn crate_build(store: &Store) -> Build {
    store.build(tidegate_domain::BuildId(1)).await.unwrap()
}

async fn earlier_canaries_are_those_of_the_first_share(place: &Place) {
    let store = place.store().await;
    let first = upload(&store, APP, 1).await;
    let build = upload(&store, APP, 2).await;
    let devices = enroll_many(&store, 60).await;
    poll(&store, devices.iter().map(|id| seen(id, 10, 0)).collect()).await;
    let rollout = rollout_of(&promote(&store, &first, promotion(20)).await);
    let package = first.facts.package.clone();
    store
        .change_track(package, actor("ann"), move |track, _| {
            track.adjust(rollout, Percent::EVERYBODY, crate::samples::by())
        })
        .await
        .unwrap();
    let forecast = forecast(&store, &build, promotion(50)).await;
    let [overlap] = &forecast.overlaps[..] else {
        panic!("one rollout before")
    };
    assert_eq!(overlap.rollout, rollout);
    assert_eq!(
        overlap.devices,
        below(&devices, 20),
        "not those that it came to later"
    );
}

async fn nobody_waits_for_it_any_more(place: &Place) {
    let store = place.store().await;
    let (build, _) = release(&store, APP, 1).await;
    let devices = enroll_many(&store, 2).await;
    poll(&store, devices.iter().map(|id| seen(id, 10, 1)).collect()).await;
    let pages = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&pages);
    let goes_on = move || counted.fetch_add(1, Ordering::Relaxed) == 0;
    let stopped = store
        .forecast(order(&build, promotion(100)), goes_on)
        .await
        .unwrap();
    assert_eq!((stopped, pages.load(Ordering::Relaxed)), (None, 2));
    assert!(store.device(&device("d-0000")).await.is_ok());
}
