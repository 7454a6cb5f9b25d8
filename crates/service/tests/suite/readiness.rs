//! Readiness: whether an instance is to be sent anybody.

use std::fs;
use std::time::Duration;

use tidegate_service::Kind;

use crate::instance::{Instance, refusal};

#[tokio::test(start_paused = true)]
async fn an_instance_is_ready_while_its_files_answer_and_an_answer_holds_for_a_second() {
    let instance = Instance::start().await;
    let check = || instance.readiness.check();
    check().await.unwrap();
    let (folder, away) = (instance.path("artifacts"), instance.path("away"));
    fs::rename(&folder, &away).unwrap();
    check().await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(refusal(check().await), (Kind::Unavailable, "unavailable"));
    fs::rename(&away, &folder).unwrap();
    assert!(check().await.is_err(), "this answer holds for a second, too");
    tokio::time::advance(Duration::from_secs(1)).await;
    check().await.unwrap();
}

#[tokio::test]
async fn an_instance_that_is_about_to_end_is_not_ready() {
    let instance = Instance::start().await;
    instance.readiness.check().await.unwrap();
    instance.readiness.drain();
    assert_eq!(
        refusal(instance.readiness.check().await),
        (Kind::Unavailable, "draining")
    );
}
