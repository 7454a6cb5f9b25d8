//! The form that starts a nudge, and the campaign's page.

use chrono::TimeDelta;
use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::fcm::{self, StandIn};
use tidegate_testkit::server::{Engine, TestServer};

use crate::person::{Person, between, text};

#[tokio::test]
async fn a_nudge_has_high_priority_unless_the_form_says_otherwise() {
    let push = StandIn::start().await.unwrap();
    let server = TestServer::start_with(Engine::Sqlite, |config| fcm::send_to(&push, config)).await;
    let device = server.device("pixel-1").await;
    device.set_fcm_token("at-pixel-1").await.ok();
    let olga = Person::logged_in(&server, Role::Operator).await;
    let page = olga.page("/nudges/new").await;
    assert!(page.contains("value=\"high\" checked"), "{page}");
    assert!(!page.contains("value=\"normal\" checked"), "{page}");

    // A form that is refused is shown again as it was filled in.
    let refused = olga
        .post("/nudges/new", &[("audience", "chosen"), ("priority", "normal")])
        .await;
    assert_eq!(refused.status, 400);
    assert!(text(&refused).contains("value=\"normal\" checked"));
    let refused = olga
        .post("/nudges/new", &[("audience", "all"), ("priority", "urgent")])
        .await;
    assert_eq!(refused.status, 400);
    assert!(text(&refused).contains("must be one of normal, high"));
    assert_eq!(push.counts().requests, 0);

    let vera = server.operator(Role::Viewer);
    for (number, chosen, priority) in [(1, "high", "high"), (2, "normal", "normal"), (3, "", "high")] {
        let answer = olga
            .post("/nudges/new", &[("audience", "all"), ("priority", chosen)])
            .await;
        let path = format!("/nudges/{number}");
        assert_eq!(answer.header("location"), format!("{path}?done=nudged"));
        let campaign = vera.get(&format!("/v1{path}")).await.ok();
        assert_eq!(campaign["priority"], priority);
        assert!(olga.page(&path).await.contains(&format!("{priority} priority")));
    }
}

#[tokio::test]
async fn a_campaigns_page_tells_who_gave_no_answer_once_that_is_known() {
    let push = StandIn::start().await.unwrap();
    let server = TestServer::start_with(Engine::Sqlite, |config| fcm::send_to(&push, config)).await;
    let device = server.device("pixel-1").await;
    device.set_fcm_token("at-pixel-1").await.ok();
    let operator = server.operator(Role::Operator);
    let nudged = operator.post("/v1/apk/nudge-update", &json!({})).await.ok();
    assert_eq!(nudged["success_count"], 1);
    let vera = Person::logged_in(&server, Role::Viewer).await;
    let no_answer = async || {
        let page = vera.page("/nudges/1").await;
        between(&page, "data-live=\"n1.no_answer\">", "<").to_owned()
    };
    assert_eq!(no_answer().await, "–");
    server.clock().advance(TimeDelta::seconds(361));
    assert_eq!(no_answer().await, "1");
}
