//! Forecasts: one at a time, by whoever may look, and refused as the rollout would be.

use std::sync::Arc;
use std::time::Duration;

use tidegate_domain::{BuildId, RolloutDraft};
use tidegate_service::{Forecasts, Kind, Rollouts};
use tidegate_testkit::apks::PACKAGE;

use crate::instance::{Instance, operator, refusal, to, viewer};

fn forecasts(instance: &Instance) -> Forecasts {
    let rollouts = Rollouts::new(
        instance.store.clone(),
        instance.artifacts(),
        Arc::clone(&instance.snapshots),
        instance.clock.clone(),
    );
    Forecasts::new(Arc::new(rollouts), Duration::from_secs(6 * 3_600), 1_000)
}

fn draft(percent: i64) -> RolloutDraft {
    RolloutDraft {
        name: String::new(),
        priority: 0,
        promotion: to(percent),
    }
}

#[tokio::test]
async fn one_forecast_is_made_at_a_time_and_others_come_again() {
    let instance = Instance::start().await;
    let build = instance.release(1).await;
    let forecasts = forecasts(&instance);
    let ask = || forecasts.forecast(viewer(), build, draft(50));
    let (first, second) = tokio::join!(ask(), ask());
    assert_eq!(first.unwrap().1.as_str(), PACKAGE);
    let busy = second.unwrap_err();
    assert_eq!((busy.kind, busy.code), (Kind::Unavailable, "forecast_busy"));
    assert!(busy.retry_after.is_some());
    ask().await.unwrap();
    assert_eq!(
        instance.actions().await,
        ["ota.upload", "ota.promote"],
        "asking is no change"
    );
}

#[tokio::test]
async fn what_making_it_is_refused_for_the_forecast_is_refused_for() {
    let instance = Instance::start().await;
    let build = instance.release(1).await;
    let forecasts = forecasts(&instance);
    for (build, percent) in [(BuildId(99), 10), (build, 0)] {
        let made = refusal(instance.rollouts.create(operator(), build, draft(percent)).await);
        let told = refusal(forecasts.forecast(viewer(), build, draft(percent)).await);
        assert_eq!(told, made);
    }
}
