//! What the ports answer at all.

use reqwest::{Client, Method};
use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::PACKAGE;
use tidegate_testkit::server::{Engine, TestServer};

on_both_engines!(
    an_unknown_path_is_a_problem_in_rest_and_unimplemented_in_grpc,
    a_wrong_method_is_refused_with_those_that_are_served,
    a_body_over_the_limit_is_refused,
    health_and_readiness_answer,
    the_admin_surface_can_have_a_port_of_its_own,
    a_request_keeps_the_id_that_it_came_with,
    a_poll_is_named_where_it_came_with_a_name_or_is_refused,
    only_a_plain_poll_goes_past_the_router,
);

async fn an_unknown_path_is_a_problem_in_rest_and_unimplemented_in_grpc(engine: Engine) {
    let server = TestServer::start(engine).await;
    for path in [
        "/nowhere",
        "/v1",
        "/v1/apk/1/2/3",
        "/v2/agent/update",
        "/tidegate.v1.BuildService",
        "/tidegate.v1.BuildService/Nothing",
        "/V1/APK",
    ] {
        let problem = Answer::to(server.http().get(server.url(path)))
            .await
            .refused(404, "no_such_path");
        assert!(problem["detail"].as_str().unwrap().contains(path), "{problem}");
    }
    for path in [
        "/tidegate.v1.BuildService/Nothing",
        "/tidegate.v9.Nothing/Here",
        "/nowhere",
    ] {
        let answer = grpc(&server, path, vec![0; 5], &[]).await;
        assert_eq!(
            (answer.status, answer.header("grpc-status")),
            (200, "12"),
            "{path}"
        );
    }
}

/// A gRPC call by hand, for what no generated client would send.
pub(crate) async fn grpc(
    server: &TestServer,
    path: &str,
    body: impl Into<reqwest::Body>,
    headers: &[(&str, &str)],
) -> Answer {
    grpc_at(server.admin_url(path), body, headers).await
}

async fn grpc_at(url: String, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> Answer {
    let http2 = Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let mut request = http2
        .post(url)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::to(request).await
}

async fn a_wrong_method_is_refused_with_those_that_are_served(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    let wrong = [
        (Method::DELETE, "/v1/apk/1", "GET"),
        (Method::GET, "/v1/apk/1/promote", "POST"),
        (Method::POST, "/v1/agent/update", "GET"),
        (Method::POST, "/v1/agent/fcm-token", "PUT"),
        (Method::PATCH, "/v1/audit", "GET"),
    ];
    for (method, path, served) in wrong {
        let answer = Answer::to(olga.request(method.clone(), path)).await;
        answer.refused(405, "method_not_allowed");
        assert!(
            answer.header("allow").contains(served),
            "{method} {path}: {:?}",
            answer.headers
        );
    }
}

async fn a_body_over_the_limit_is_refused(engine: Engine) {
    let server = TestServer::start(engine).await;
    let device = server.device("pixel-1").await;
    let large = json!({ "build_id": 1, "status": "downloaded", "message": "x".repeat(70_000) });
    device.report_as(&large).await.refused(413, "too_large");
    let enroll = json!({ "enrollment_token": "x".repeat(70_000), "device_id": "pixel-2" });
    server
        .enroll_as(&enroll)
        .await
        .unwrap_err()
        .refused(413, "too_large");
    let unsized_body = reqwest::Body::wrap_stream(futures::stream::iter(
        (0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1000])),
    ));
    let request = device
        .request(Method::POST, "/v1/agent/report")
        .body(unsized_body);
    Answer::to(request).await.refused(413, "too_large");
    assert_eq!(device.poll(1).await.why_not(), "no_current_build");
}

async fn health_and_readiness_answer(engine: Engine) {
    let server = TestServer::start(engine).await;
    for (path, body) in [("/healthz", "alive\n"), ("/readyz", "ready\n")] {
        let answer = Answer::to(server.http().get(server.url(path))).await;
        assert_eq!(
            (answer.status, &answer.body[..]),
            (200, body.as_bytes()),
            "{path}"
        );
    }
}

async fn the_admin_surface_can_have_a_port_of_its_own(engine: Engine) {
    let own_port =
        |config: &mut tidegate_gateway::Config| config.admin_listen = Some(([127, 0, 0, 1], 0).into());
    let server = TestServer::start_with(engine, own_port).await;
    assert_ne!(server.url(""), server.admin_url(""));
    let device = server.device("pixel-1").await;
    device.poll(1).await;
    let ada = server.operator(Role::Admin);
    ada.builds("").await.ok();

    let on_agents_port = |path: &str| server.http().get(server.url(path)).bearer_auth(ada.token());
    for path in [
        "/v1/apk",
        "/v1/audit",
        "/v1/devices",
        "/v1/enrollment-tokens",
        "/openapi.json",
        "/metrics",
    ] {
        Answer::to(on_agents_port(path))
            .await
            .refused(404, "no_such_path");
    }
    let document = server.http().get(server.admin_url("/openapi.json"));
    assert_eq!(Answer::to(document).await.ok()["info"]["title"], "Tidegate");
    let list = server.url("/tidegate.v1.BuildService/ListBuilds");
    assert_eq!(grpc_at(list, vec![0; 5], &[]).await.header("grpc-status"), "12");
    let poll = format!("/v1/agent/update?device_id=pixel-1&current_version_code=1&package_name={PACKAGE}");
    let request = server
        .http()
        .get(server.admin_url(&poll))
        .bearer_auth(&device.token);
    Answer::to(request).await.refused(404, "no_such_path");
    for url in [
        server.url("/healthz"),
        server.admin_url("/healthz"),
        server.url("/readyz"),
    ] {
        assert_eq!(Answer::to(server.http().get(url)).await.status, 200);
    }
}

async fn a_request_keeps_the_id_that_it_came_with(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ask = |id: &str| {
        server
            .http()
            .get(server.url("/healthz"))
            .header("x-request-id", id)
    };
    assert_eq!(
        Answer::to(ask("train-7_a.b")).await.header("x-request-id"),
        "train-7_a.b"
    );
    for odd in ["two words", "semi;colon", &"x".repeat(65)] {
        let given = Answer::to(ask(odd)).await.header("x-request-id").to_owned();
        assert!(!given.is_empty() && given != odd, "{given}");
    }
}

async fn a_poll_is_named_where_it_came_with_a_name_or_is_refused(engine: Engine) {
    let server = TestServer::start(engine).await;
    let device = server.device("pixel-1").await;
    let poll = |token: &str, id: Option<&str>| {
        let path =
            format!("/v1/agent/update?device_id=pixel-1&current_version_code=1&package_name={PACKAGE}");
        let request = server.http().get(server.url(&path)).bearer_auth(token);
        match id {
            Some(id) => request.header("x-request-id", id),
            None => request,
        }
    };
    let named = Answer::to(poll(&device.token, Some("site-7"))).await;
    assert_eq!((named.status, named.header("x-request-id")), (304, "site-7"));
    let unnamed = poll(&device.token, None).send().await.unwrap();
    assert_eq!(unnamed.status(), 304);
    assert!(!unnamed.headers().contains_key("x-request-id"));
    let refused = Answer::to(poll("nobody's", None)).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("x-request-id").len(), 16);
}

/// What one request proved is forgotten for the next of its connection, and other methods meet the router.
async fn only_a_plain_poll_goes_past_the_router(engine: Engine) {
    let server = TestServer::start(engine).await;
    let device = server.device("pixel-1").await;
    // One connection for all.
    let client = Client::builder().pool_max_idle_per_host(1).build().unwrap();
    let url = server.url(&format!(
        "/v1/agent/update?device_id=pixel-1&current_version_code=1&package_name={PACKAGE}"
    ));
    let ask = |method: Method, token: Option<&str>| {
        let request = client.request(method, &url);
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    };
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    assert_eq!(status(ask(Method::GET, Some(&device.token))).await, 304);
    assert_eq!(
        status(ask(Method::GET, None)).await,
        401,
        "on the same connection"
    );
    assert_eq!(status(ask(Method::HEAD, Some(&device.token))).await, 304);
    assert_eq!(status(ask(Method::POST, Some(&device.token))).await, 405);
    assert_eq!(status(ask(Method::GET, Some(&device.token))).await, 304);
}
