//! Tags and policies: a pin keeps devices back, a hold stops everything on every server, and a whole fleet is tagged in one
//! call.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_proto::v1;
use tidegate_proto::v1::policy_service_client::PolicyServiceClient;
use tidegate_proto::v1::tag_service_client::TagServiceClient;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};
use tonic::Request;

on_both_engines!(
    a_pin_keeps_the_lab_below_the_release,
    a_hold_stops_everything_and_old_agents_keep_their_files,
    a_hundred_thousand_ids_are_taken_in_one_call,
    a_table_names_devices_as_well,
    what_is_wrong_is_refused_by_name,
    the_same_by_grpc,
);

async fn send(who: &Operator, method: Method, path: &str, body: &Value) -> Answer {
    Answer::to(who.request(method, path).json(body)).await
}

async fn delete(who: &Operator, path: &str) -> Answer {
    Answer::to(who.request(Method::DELETE, path)).await
}

/// A server that releases a build to everybody, who released it, and the build.
async fn with_a_release(engine: Engine) -> (TestServer, Operator, i64) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    (server, olga, build)
}

async fn a_pin_keeps_the_lab_below_the_release(engine: Engine) {
    let (server, olga, build) = with_a_release(engine).await;
    let (lab, shop) = (server.device("lab-1").await, server.device("shop-1").await);
    let given = olga
        .post("/v1/tags/lab/devices", &json!({ "add": ["lab-1", "nobody"] }))
        .await
        .ok();
    let told =
        json!({ "tag": "lab", "added": 1, "removed": 0, "unknown": 1, "unknown_device_ids": ["nobody"] });
    assert_eq!(given, told);
    let pin =
        json!({ "tag": "lab", "package_name": PACKAGE, "max_version": 1, "remark": "2 breaks the printers" });
    let answer = olga.post("/v1/policies", &pin).await;
    assert_eq!(answer.status, 201);
    let policy = answer.json();
    assert_eq!(
        (&policy["tag"], &policy["max_version"]),
        (&json!("lab"), &json!(1))
    );
    assert_eq!(lab.poll(1).await.why_not(), "above_ceiling");
    assert_eq!(shop.poll(1).await.build(), Some(build));

    let explained = olga.explain("lab-1", PACKAGE, 1).await.ok();
    assert_eq!(explained["reason"], "above_ceiling");
    let rules = explained["rules"].as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["rule"] == "ceiling").unwrap();
    assert_eq!(rule["inputs"]["remark"], "2 breaks the printers");
    let device = olga.device("lab-1").await.ok();
    assert_eq!(device["operator_tags"], json!(["lab"]));
    assert_eq!(device["policies"][0]["policy_id"], policy["policy_id"]);
    assert_eq!(device["tags"], json!([]), "those are its own words");
    assert_eq!(
        olga.get("/v1/tags").await.ok()["items"],
        json!([{ "tag": "lab", "devices": 1 }])
    );

    delete(&olga, "/v1/tags/lab").await.refused(409, "tag_in_use");
    let renamed = olga
        .post("/v1/tags/lab/rename", &json!({ "to": "room" }))
        .await
        .ok();
    assert_eq!(renamed, json!({ "tag": "room", "devices": 1 }));
    assert_eq!(lab.poll(1).await.why_not(), "above_ceiling");
    let path = format!("/v1/policies/{}", policy["policy_id"]);
    let raised = send(&olga, Method::PATCH, &path, &json!({ "max_version": 2 }))
        .await
        .ok();
    assert_eq!(
        (&raised["tag"], &raised["max_version"]),
        (&json!("room"), &json!(2))
    );
    assert_eq!(lab.poll(1).await.build(), Some(build));
    delete(&olga, &path).await.ok();
    assert_eq!(
        delete(&olga, "/v1/tags/room").await.ok(),
        json!({ "tag": "room", "devices": 1 })
    );
    let actions = [
        "tag.add",
        "policy.create",
        "tag.rename",
        "policy.change",
        "policy.delete",
        "tag.delete",
    ];
    for action in actions {
        assert_eq!(
            olga.audit(&format!("?action={action}")).await.len(),
            1,
            "{action}"
        );
    }
    assert!(olga.audit_is_intact().await);
}

async fn a_hold_stops_everything_and_old_agents_keep_their_files(engine: Engine) {
    let (server, olga, build) = with_a_release(engine).await;
    let phone = server.device("pixel-1").await;
    let stop = json!({ "remark": "tills lose receipts" });
    let held = send(&olga, Method::PUT, "/v1/hold", &stop).await.ok();
    assert_eq!(
        (&held["hold"], &held["holding"], &held["package_name"]),
        (&json!(true), &json!(true), &json!(""))
    );
    assert_eq!(
        phone.poll_as(PACKAGE, 1, "&protocol=2").await.why_not(),
        "held_by_policy"
    );
    assert_eq!(
        phone.poll(1).await.why_not(),
        "paused",
        "an agent from before throws nothing away"
    );
    assert_eq!(
        olga.explain("pixel-1", PACKAGE, 1).await.ok()["reason"],
        "held_by_policy"
    );
    let held = format!("?package_name={PACKAGE}&told=held_by_policy");
    let told = || olga.devices(&held);
    eventually(told, |answer| {
        answer.json()["items"]
            .as_array()
            .is_some_and(|items| items.len() == 1)
    })
    .await;
    let page = String::from_utf8(server.operator(Role::Viewer).get("/metrics").await.body).unwrap();
    assert!(
        page.contains("ota_policies_holding{subject=\"everybody\"} 1"),
        "{page}"
    );

    let of_package = "/v1/hold?package_name=com.example.app";
    assert_eq!(delete(&olga, of_package).await.ok(), json!({ "lifted": [] }));
    assert_eq!(phone.poll(1).await.why_not(), "paused");
    let standing = olga.get("/v1/hold").await.ok();
    assert_eq!(standing["items"][0]["remark"], "tills lose receipts");
    let lifted = delete(&olga, "/v1/hold").await.ok();
    assert_eq!(lifted["lifted"].as_array().unwrap().len(), 1);
    assert_eq!(phone.poll(1).await.build(), Some(build));

    let until = server.clock().read() + chrono::TimeDelta::hours(2);
    let night = json!({ "package_name": PACKAGE, "until": until.to_rfc3339(), "remark": "inventory" });
    send(&olga, Method::PUT, "/v1/hold", &night).await.ok();
    assert_eq!(phone.poll(1).await.why_not(), "paused");
    server.clock().advance(chrono::TimeDelta::hours(2));
    assert_eq!(phone.poll(1).await.build(), Some(build), "it ends by itself");
    assert_eq!(olga.get("/v1/hold").await.ok(), json!({ "items": [] }));
}

async fn a_hundred_thousand_ids_are_taken_in_one_call(engine: Engine) {
    let (server, olga, _) = with_a_release(engine).await;
    server.device("pixel-1").await;
    let mut ids: Vec<String> = (1..100_000)
        .map(|number| format!("not-there-{number:0>100}"))
        .collect();
    ids.push("pixel-1".to_owned());
    let tagged = olga
        .post("/v1/tags/all/devices", &json!({ "add": ids }))
        .await
        .ok();
    assert_eq!(
        (&tagged["added"], &tagged["unknown"]),
        (&json!(1), &json!(99_999))
    );
    assert_eq!(tagged["unknown_device_ids"].as_array().unwrap().len(), 20);
    ids.push("one-more".to_owned());
    let refused = olga.post("/v1/tags/all/devices", &json!({ "add": ids })).await;
    refused.refused(413, "too_large");
    let devices = olga.get("/v1/tags/all/devices").await.ok();
    assert_eq!(devices["items"], json!([{ "device_id": "pixel-1" }]));
}

async fn a_table_names_devices_as_well(engine: Engine) {
    let (server, olga, _) = with_a_release(engine).await;
    for id in ["till-1", "till-2"] {
        server.device(id).await;
    }
    let table = async |text: &str| {
        let request = olga.request(Method::POST, "/v1/tags/tills/devices");
        let request = request.header("content-type", "text/csv; charset=utf-8");
        Answer::to(request.body(text.to_owned())).await
    };
    assert_eq!(table("shop,device_id\nNorth,till-1\n").await.ok()["added"], 1);
    assert_eq!(table("till-1\ntill-2\ntill-3\n").await.ok()["added"], 1);
    table("shop,till\nNorth,till-1\n").await.invalid("body");
    table("till-1\na|b\n").await.invalid("add[1]");
    table("").await.invalid("add");
    assert_eq!(olga.get("/v1/tags").await.ok()["items"][0]["devices"], 2);
}

async fn what_is_wrong_is_refused_by_name(engine: Engine) {
    let (server, olga, build) = with_a_release(engine).await;
    let phone = server.device("pixel-1").await;
    let policy = async |body: Value| olga.post("/v1/policies", &body).await;
    policy(json!({ "remark": "on nobody", "max_version": 1 }))
        .await
        .invalid("tag");
    policy(json!({ "tag": "", "remark": "empty", "max_version": 1 }))
        .await
        .invalid("tag");
    policy(json!({ "tag": "lab", "everybody": true, "remark": "two", "max_version": 1 }))
        .await
        .invalid("tag");
    policy(json!({ "tag": "Lab", "remark": "upper case", "max_version": 1 }))
        .await
        .invalid("tag");
    policy(json!({ "tag": "lab", "remark": "nothing" }))
        .await
        .invalid("max_version");
    policy(json!({ "tag": "lab", "max_version": 1 }))
        .await
        .invalid("remark");
    policy(json!({ "tag": "lab", "hold_until": "1999-01-01T00:00:00Z", "remark": "over" }))
        .await
        .invalid("hold_until");
    policy(json!({ "device_id": "nobody", "hold": true, "remark": "x" }))
        .await
        .refused(404, "not_found");
    let tag = async |body: Value| olga.post("/v1/tags/lab/devices", &body).await;
    tag(json!({})).await.invalid("add");
    tag(json!({ "add": ["pixel-1"], "remove": ["pixel-1"] }))
        .await
        .invalid("remove");
    tag(json!({ "tag": "other", "add": ["pixel-1"] }))
        .await
        .invalid("tag");
    tag(json!({ "added": ["pixel-1"] })).await.invalid("added");
    let mistyped = json!({ "package_name": "com.exmaple.app", "remark": "typed wrong" });
    send(&olga, Method::PUT, "/v1/hold", &mistyped)
        .await
        .refused(404, "not_found");
    send(&olga, Method::PUT, "/v1/hold", &json!({}))
        .await
        .invalid("remark");
    let viewer = server.operator(Role::Viewer);
    send(&viewer, Method::PUT, "/v1/hold", &json!({ "remark": "x" }))
        .await
        .refused(403, "role_too_low");
    delete(&olga, "/v1/policies/99").await.refused(404, "not_found");
    delete(&olga, "/v1/tags/none").await.refused(404, "not_found");
    assert_eq!(olga.get("/v1/policies").await.ok()["items"], json!([]));
    assert_eq!(olga.get("/v1/tags").await.ok()["items"], json!([]));
    assert_eq!(phone.poll(1).await.build(), Some(build));
}

async fn the_same_by_grpc(engine: Engine) {
    let (server, olga, build) = with_a_release(engine).await;
    let phone = server.device("pixel-1").await;
    let bearer = format!("Bearer {}", olga.token());
    let channel = server.channel().await;
    let mut tags = TagServiceClient::new(channel.clone());
    let mut policies = PolicyServiceClient::new(channel);
    fn by<T>(bearer: &str, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", bearer.parse().unwrap());
        request
    }
    let ids: Vec<String> = (1..50_000)
        .map(|number| format!("not-there-{number:0>100}"))
        .collect();
    let request = v1::TagDevicesRequest {
        tag: "lab".to_owned(),
        add: ids.into_iter().chain(["pixel-1".to_owned()]).collect(),
        remove: vec![],
    };
    let tagged = tags.tag_devices(by(&bearer, request)).await.unwrap().into_inner();
    assert_eq!((tagged.added, tagged.unknown), (1, 49_999));
    let request = v1::CreatePolicyRequest {
        tag: "lab".to_owned(),
        hold: true,
        remark: "tests".to_owned(),
        ..v1::CreatePolicyRequest::default()
    };
    let policy = policies
        .create_policy(by(&bearer, request))
        .await
        .unwrap()
        .into_inner();
    assert!(policy.holding);
    assert_eq!(
        phone.poll_as(PACKAGE, 1, "&protocol=2").await.why_not(),
        "held_by_policy"
    );
    let request = v1::UpdatePolicyRequest {
        policy_id: policy.policy_id,
        hold: Some(false),
        ..v1::UpdatePolicyRequest::default()
    };
    let nothing = policies.update_policy(by(&bearer, request)).await.unwrap_err();
    assert_eq!(
        nothing.code(),
        tonic::Code::InvalidArgument,
        "it would demand nothing"
    );
    let request = v1::DeletePolicyRequest {
        policy_id: policy.policy_id,
    };
    policies.delete_policy(by(&bearer, request)).await.unwrap();
    assert_eq!(phone.poll(1).await.build(), Some(build));
    let request = v1::SetHoldRequest {
        remark: "stop".to_owned(),
        ..v1::SetHoldRequest::default()
    };
    policies.set_hold(by(&bearer, request)).await.unwrap();
    let standing = policies
        .list_holds(by(&bearer, v1::ListHoldsRequest {}))
        .await
        .unwrap();
    assert_eq!(standing.into_inner().items.len(), 1);
    let lifted = policies
        .lift_hold(by(&bearer, v1::LiftHoldRequest::default()))
        .await
        .unwrap();
    assert_eq!(lifted.into_inner().lifted.len(), 1);
}

#[tokio::test]
async fn a_hold_and_a_pin_reach_a_second_server_within_a_second() {
    let (first, olga, build) = with_a_release(Engine::Postgres).await;
    let second = first.replica().await;
    let here = first.device("lab-1").await;
    let there = here.at(&second.url(""));
    eventually(|| there.poll(1), |polled| polled.build() == Some(build)).await;
    let within = std::time::Duration::from_secs(1);

    #[allow(clippy::disallowed_methods, reason = "how long it really takes")]
    let begun = std::time::Instant::now();
    send(&olga, Method::PUT, "/v1/hold", &json!({ "remark": "stop" }))
        .await
        .ok();
    eventually(|| there.poll(1), |polled| polled.why_not() == "paused").await;
    println!("a hold reached the second server after {:?}", begun.elapsed());
    assert!(begun.elapsed() < 3 * within, "with room for a busy machine");
    delete(&olga, "/v1/hold").await.ok();
    eventually(|| there.poll(1), |polled| polled.build() == Some(build)).await;

    let pin = json!({ "tag": "lab", "max_version": 1, "remark": "tests" });
    olga.post("/v1/policies", &pin).await;
    olga.post("/v1/tags/lab/devices", &json!({ "add": ["lab-1"] }))
        .await
        .ok();
    eventually(|| there.poll(1), |polled| polled.why_not() == "above_ceiling").await;
    olga.post("/v1/tags/lab/devices", &json!({ "remove": ["lab-1"] }))
        .await
        .ok();
    eventually(|| there.poll(1), |polled| polled.build() == Some(build)).await;
}
