//! Releasing to an expression, and asking beforehand whom it takes.

use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_proto::v1;
use tidegate_proto::v1::audience_service_client::AudienceServiceClient;
use tidegate_testkit::agent::Agent;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};
use tonic::Request;

on_both_engines!(
    a_release_goes_to_whom_its_expression_takes_and_is_shown_as_it_was_written,
    lists_and_expressions_are_two_forms_of_one_thing,
    whom_an_expression_takes_is_known_before_and_agrees_with_the_polls,
    tags_that_no_device_has_are_told,
    what_cannot_be_read_is_answered_with_its_place,
    the_version_is_that_of_a_package,
    those_who_left_are_not_counted,
);

const CHECK: &str = "/v1/audiences/check";

/// A server, and somebody who releases.
async fn day(engine: Engine) -> (TestServer, Operator, i64) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    (server, olga, build)
}

/// A device that says this in its enrolment, and nothing since.
async fn enrolled(server: &TestServer, id: &str, says: &Value) -> Agent {
    let token = server.operator(Role::Admin).enroll_token(1).await;
    let mut request = json!({ "enrollment_token": token, "device_id": id });
    for (name, value) in says.as_object().unwrap() {
        request[name] = value.clone();
    }
    server.enroll_as(&request).await.unwrap()
}

async fn check(who: &Operator, audience: impl Into<Value>) -> Value {
    who.post(CHECK, &json!({ "audience": audience.into() }))
        .await
        .ok()
}

async fn a_release_goes_to_whom_its_expression_takes_and_is_shown_as_it_was_written(engine: Engine) {
    let (server, olga, build) = day(engine).await;
    let device = enrolled(&server, "till-1", &json!({ "region": "eu", "sdk": 30 })).await;
    let audience = r#"region == "eu" && (sdk >= 33 || "kiosk" in device_tags)"#;
    let settings = json!({ "rollout_percent": 100, "audience": audience });
    olga.promote_as(build, &settings).await.ok();
    assert_eq!(
        device.poll_as(PACKAGE, 1, "&region=eu&sdk=30").await.why_not(),
        "not_in_audience"
    );
    for taken in [
        "&region=eu&sdk=33",
        "&region=eu&sdk=30&tags=kiosk,lab",
        "&region=eu&tags=kiosk",
    ] {
        assert_eq!(
            device.poll_as(PACKAGE, 1, taken).await.build(),
            Some(build),
            "{taken}"
        );
    }
    assert_eq!(
        device.poll_as(PACKAGE, 1, "&region=eu").await.why_not(),
        "not_in_audience",
        "what it does not say is not certain"
    );
    let shown = olga.rollouts("").await.ok()["items"][0]["audience"].clone();
    assert_eq!(
        shown,
        json!({ "expression": audience, "regions": [], "models": [] })
    );
    let logged = &olga.audit("?action=ota.promote").await[0];
    assert_eq!(logged["after"]["audience"], audience, "{logged}");
    // The explanation shows each clause with the device's own value, of the poll that was last.
    let rule = eventually(
        || async {
            let explained = olga.explain(&device.id, PACKAGE, 1).await.ok();
            let rules = explained["rules"].as_array().unwrap().clone();
            rules.into_iter().find(|rule| rule["rule"] == "audience").unwrap()
        },
        |rule| {
            rule["inputs"]["clause 2"]
                .as_str()
                .unwrap()
                .contains("sdk: not stated")
        },
    )
    .await;
    assert_eq!(rule["inputs"]["clause 1"], r#"true: region == "eu"; region: eu"#);
    let second = rule["inputs"]["clause 2"].as_str().unwrap();
    assert!(
        second.starts_with("unknown") && second.ends_with("device_tags: not stated"),
        "{second}"
    );
}

async fn lists_and_expressions_are_two_forms_of_one_thing(engine: Engine) {
    let (_server, olga, build) = day(engine).await;
    let shown = async || olga.rollouts("").await.ok()["items"][0]["audience"].clone();
    let lists = json!({ "regions": ["eu", "us"], "models": ["Pixel 6"] });
    let expression = r#"region in ["eu", "us"] && model in ["Pixel 6"]"#;
    let both = json!({ "regions": ["eu", "us"], "models": ["Pixel 6"], "expression": expression });
    for form in [lists, json!(expression), json!({ "expression": expression })] {
        olga.promote_as(build, &json!({ "rollout_percent": 100, "audience": form }))
            .await
            .ok();
        assert_eq!(shown().await, both, "an older client goes on seeing its lists");
    }
    let rollouts = olga.rollouts("").await.ok();
    assert_eq!(
        rollouts["items"].as_array().unwrap().len(),
        1,
        "it is one and the same audience"
    );
    for everybody in [json!("true"), json!({}), Value::Null] {
        olga.promote_as(build, &json!({ "rollout_percent": 100, "audience": everybody }))
            .await
            .ok();
        assert_eq!(shown().await, Value::Null);
    }
}

async fn whom_an_expression_takes_is_known_before_and_agrees_with_the_polls(engine: Engine) {
    let (server, olga, build) = day(engine).await;
    let vera = server.person("vera", Role::Viewer);
    let mut devices = Vec::new();
    for number in 0..30 {
        let region = ["north", "south", "west"][number % 3];
        let says = json!({ "region": region, "sdk": 28 + number % 5 });
        devices.push(enrolled(&server, &format!("till-{number:02}"), &says).await);
    }
    // This one enrolled in the north, and says so no longer.
    devices[0].poll_as(PACKAGE, 1, "&sdk=32").await;
    let audience = r#"region == "north" && sdk >= 30"#;
    let counted = eventually(
        || async { check(&vera, audience).await },
        |told| told["devices"] != 6 || told["examples"][0] != "till-00",
    )
    .await;
    assert_eq!(
        (&counted["total"], &counted["estimated"]),
        (&json!(30), &json!(false))
    );
    assert_eq!(counted["expression"], audience);
    assert_eq!(counted["error"], Value::Null);
    let settings = json!({ "rollout_percent": 100, "audience": audience });
    olga.promote_as(build, &settings).await.ok();
    let mut taken = Vec::new();
    for (number, device) in devices.iter().enumerate() {
        // Each says again what is known of it.
        let says = match number {
            0 => "&sdk=32".to_owned(),
            _ => format!(
                "&region={}&sdk={}",
                ["north", "south", "west"][number % 3],
                28 + number % 5
            ),
        };
        if device.poll_as(PACKAGE, 1, &says).await.build().is_some() {
            taken.push(device.id.clone());
        }
    }
    assert_eq!(counted["examples"], json!(taken));
    assert_eq!(counted["devices"], taken.len());
    let everybody = vera.post(CHECK, &json!({})).await.ok();
    assert_eq!(
        (&everybody["devices"], &everybody["total"]),
        (&json!(30), &json!(30))
    );
    assert_eq!(everybody["examples"].as_array().unwrap().len(), 20);
    assert_eq!(check(&vera, json!({ "regions": ["south"] })).await["devices"], 10);
    assert_eq!(check(&vera, "false").await["devices"], 0);

    let mut grpc = AudienceServiceClient::new(server.channel().await);
    let mut request = Request::new(v1::CheckAudienceRequest {
        audience: Some(v1::Audience {
            expression: audience.to_owned(),
            ..v1::Audience::default()
        }),
        package_name: String::new(),
    });
    let bearer = format!("Bearer {}", vera.token()).parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    let answer = grpc.check_audience(request).await.unwrap().into_inner();
    assert_eq!(
        serde_json::to_value(answer).unwrap(),
        check(&vera, audience).await
    );
}

async fn tags_that_no_device_has_are_told(engine: Engine) {
    let (server, olga, _) = day(engine).await;
    enrolled(&server, "till-1", &json!({})).await;
    let given = json!({ "add": ["till-1"] });
    olga.post("/v1/tags/tills/devices", &given).await.ok();
    let reach = check(
        &olga,
        r#"!("tils" in tags) && !("tills" in tags) || "T 1" in tags"#,
    )
    .await;
    assert_eq!(reach["unknown_tags"], json!(["T 1", "tils"]), "{reach}");
    assert_eq!(
        check(&olga, r#""tills" in tags"#).await["unknown_tags"],
        json!([])
    );
}

async fn what_cannot_be_read_is_answered_with_its_place(engine: Engine) {
    let (_server, olga, build) = day(engine).await;
    let told = check(&olga, r#"regoin == "north""#).await;
    assert_eq!(
        told["error"],
        json!({ "position": 1, "fault": "there is no attribute regoin", "suggestion": "region" })
    );
    assert_eq!((&told["expression"], &told["devices"]), (&json!(""), &json!(0)));
    let told = check(&olga, "sdk >= 30 &&").await;
    assert_eq!(
        (&told["error"]["position"], &told["error"]["suggestion"]),
        (&json!(13), &Value::Null)
    );
    let long = check(&olga, "x".repeat(3_000)).await;
    assert_eq!(long["error"]["position"], 2_001);
    // A release is refused with the same in words.
    let settings = json!({ "rollout_percent": 100, "audience": r#"regoin == "north""# });
    let problem = olga.promote_as(build, &settings).await.invalid("audience");
    assert_eq!(
        problem["detail"],
        "audience, character 1: there is no attribute regoin; did you mean region"
    );
    olga.post(
        CHECK,
        &json!({ "audience": { "expression": "true", "models": ["x"] } }),
    )
    .await
    .invalid("audience");
    olga.post(
        CHECK,
        &json!({ "audience": "true", "package_name": "no package" }),
    )
    .await
    .invalid("package_name");
    olga.post(
        CHECK,
        &json!({ "audience": "true", "package_name": "com.example.unknown" }),
    )
    .await
    .refused(404, "not_found");
}

async fn the_version_is_that_of_a_package(engine: Engine) {
    let (server, olga, _) = day(engine).await;
    for (id, version) in [("till-1", 1), ("till-2", 2)] {
        let says = json!({ "package_name": PACKAGE, "current_version_code": version });
        enrolled(&server, id, &says).await;
    }
    enrolled(&server, "bare", &json!({})).await;
    olga.post(CHECK, &json!({ "audience": "version < 2" }))
        .await
        .invalid("package_name");
    let count = async |audience: &str| {
        let question = json!({ "audience": audience, "package_name": PACKAGE });
        olga.post(CHECK, &question).await.ok()["examples"].clone()
    };
    assert_eq!(count("version < 2").await, json!(["till-1", "bare"]));
    assert_eq!(count("version == 2").await, json!(["till-2"]));
    assert_eq!(count("version == 0").await, json!(["bare"]), "not installed");
}

async fn those_who_left_are_not_counted(engine: Engine) {
    let (server, olga, _) = day(engine).await;
    for id in ["till-1", "till-2", "till-3"] {
        enrolled(&server, id, &json!({ "region": "north" })).await;
    }
    server
        .operator(Role::Admin)
        .post_text("/v1/devices/till-2/retire", "")
        .await
        .ok();
    let told = check(&olga, r#"region == "north""#).await;
    assert_eq!(told["examples"], json!(["till-1", "till-3"]));
    assert_eq!((&told["devices"], &told["total"]), (&json!(2), &json!(2)));
}
