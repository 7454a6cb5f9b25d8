//! What gRPC does with callers before and beside its verbs: credentials, deadlines, sizes.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::server::{Engine, TestServer, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::paths::grpc;

on_both_engines!(
    a_credential_is_asked_for_before_the_body,
    a_message_is_bounded_by_its_method,
    a_message_that_says_that_it_is_too_long_is_not_asked_for,
    health_is_in_step_with_readiness,
    what_the_library_refuses_has_a_code_that_says_whose_fault_it_is,
    what_is_not_grpc_does_not_reach_it,
    reflection_answers_few_at_a_time,
    a_watch_of_the_health_is_told_of_the_end_and_does_not_hold_it_up,
);

const LIST_BUILDS: &str = "/tidegate.v1.BuildService/ListBuilds";
const UPLOAD_BUILD: &str = "/tidegate.v1.BuildService/UploadBuild";
const SET_BUILD_NOTES: &str = "/tidegate.v1.BuildService/SetBuildNotes";
const NUDGE_UPDATE: &str = "/tidegate.v1.NudgeService/NudgeUpdate";

/// A message of this many bytes that brings its head and then nothing.
fn unfinished(length: u32) -> reqwest::Body {
    let head = [&[0][..], &length.to_be_bytes()].concat();
    let begun = stream::iter([Ok::<_, std::io::Error>(head)]);
    reqwest::Body::wrap_stream(begun.chain(stream::pending()))
}

async fn soon(answer: impl Future<Output = Answer>) -> Answer {
    let answer = tokio::time::timeout(Duration::from_secs(10), answer).await;
    answer.expect("it waits for the body")
}

async fn a_credential_is_asked_for_before_the_body(engine: Engine) {
    let server = TestServer::start(engine).await;
    let viewer = format!("Bearer {}", server.operator(Role::Viewer).token());
    let forged = [("authorization", "Bearer a.b.c")];
    let methods = [
        LIST_BUILDS,
        UPLOAD_BUILD,
        SET_BUILD_NOTES,
        NUDGE_UPDATE,
        "/tidegate.v1.ExperimentService/ConcludeExperiment",
        "/tidegate.v1.NudgeService/WatchCampaign",
        "/tidegate.v1.AudienceService/CheckAudience",
        "/tidegate.v1.AuditService/ListAudit",
        "/tidegate.v1.DeviceService/GetDevice",
        "/tidegate.v1.PackageService/PinSigner",
        "/tidegate.v1.PeopleService/ListUsers",
        "/tidegate.v1.PolicyService/SetHold",
        "/tidegate.v1.CalendarService/CreateCalendar",
        "/tidegate.v1.RolloutService/Promote",
        "/tidegate.v1.TagService/TagDevices",
    ];
    for method in methods {
        for headers in [&[][..], &forged] {
            let answer = soon(grpc(&server, method, unfinished(1000), headers)).await;
            assert_eq!(answer.header("grpc-status"), "16", "{method} {headers:?}");
        }
    }
    let headers = [("authorization", viewer.as_str()), ("grpc-timeout", "100m")];
    let waits = soon(grpc(&server, LIST_BUILDS, unfinished(1000), &headers)).await;
    assert_eq!(waits.header("grpc-status"), "4", "{waits:?}");
}

async fn a_message_is_bounded_by_its_method(engine: Engine) {
    let server = TestServer::start(engine).await;
    let operator = format!("Bearer {}", server.operator(Role::Operator).token());
    let headers = [("authorization", operator.as_str()), ("grpc-timeout", "100m")];
    for (method, limit) in [
        (LIST_BUILDS, 64 << 10),
        (SET_BUILD_NOTES, 6 * (64 << 10) + 1024),
        (NUDGE_UPDATE, 2 << 20),
        ("/tidegate.v1.TagService/TagDevices", 16 << 20),
        (UPLOAD_BUILD, (1 << 20) + (64 << 10)),
        ("/tidegate.v1.NudgeService/GetCampaign", 64 << 10),
        ("/tidegate.v1.AuthService/Login", 64 << 10),
    ] {
        let waits = soon(grpc(&server, method, unfinished(limit), &headers)).await;
        assert_eq!(waits.header("grpc-status"), "4", "{method}: {waits:?}");
        let refused = soon(grpc(&server, method, unfinished(limit + 1), &headers)).await;
        assert_eq!(refused.header("grpc-status"), "8", "{method}: {refused:?}");
    }
}

/// The first line and the head that come back to a call over HTTP/1.1 whose client asks before it sends.
async fn asked_first(server: &TestServer, method: &str, token: &str, length: usize) -> String {
    let mut socket = TcpStream::connect(server.config().listen).await.unwrap();
    let head = format!(
        "POST {method} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-type: application/grpc\r\n\
         content-length: {length}\r\nexpect: 100-continue\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 2048];
    let read = tokio::time::timeout(Duration::from_secs(10), socket.read(&mut answer)).await;
    let read = read.expect("the server waits").unwrap();
    String::from_utf8_lossy(&answer[..read]).to_lowercase()
}

async fn a_message_that_says_that_it_is_too_long_is_not_asked_for(engine: Engine) {
    let server = TestServer::start(engine).await;
    let viewer = server.operator(Role::Viewer);
    for (method, limit) in [
        (LIST_BUILDS, 64 << 10),
        (SET_BUILD_NOTES, 6 * (64 << 10) + 1024),
        (NUDGE_UPDATE, 2 << 20),
        ("/tidegate.v1.TagService/TagDevices", 16 << 20),
        ("/tidegate.v1.AuthService/Login", 64 << 10),
    ] {
        let fits = asked_first(&server, method, viewer.token(), 5 + limit).await;
        assert!(fits.starts_with("http/1.1 100 "), "{method}: {fits}");
        for length in [5 + limit + 1, usize::MAX / 2] {
            let refused = asked_first(&server, method, viewer.token(), length).await;
            assert!(refused.starts_with("http/1.1 200 "), "{method}: {refused}");
            assert!(refused.contains("\r\ngrpc-status: 8\r\n"), "{method}: {refused}");
        }
    }
    let stranger = asked_first(&server, LIST_BUILDS, "forged", usize::MAX / 2).await;
    assert!(stranger.contains("\r\ngrpc-status: 16\r\n"), "{stranger}");
    let upload = asked_first(&server, UPLOAD_BUILD, viewer.token(), 1 << 30).await;
    assert!(upload.starts_with("http/1.1 100 "), "of many messages: {upload}");
}

/// The whole server, and each of its services.
const WITH_A_HEALTH: [&str; 15] = [
    "",
    "tidegate.v1.AudienceService",
    "tidegate.v1.AuditService",
    "tidegate.v1.AuthService",
    "tidegate.v1.BuildService",
    "tidegate.v1.CalendarService",
    "tidegate.v1.DeviceService",
    "tidegate.v1.ExperimentService",
    "tidegate.v1.FleetService",
    "tidegate.v1.NudgeService",
    "tidegate.v1.PackageService",
    "tidegate.v1.PeopleService",
    "tidegate.v1.PolicyService",
    "tidegate.v1.RolloutService",
    "tidegate.v1.TagService",
];

fn service(name: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: name.to_owned(),
    }
}

async fn health(client: &HealthClient<Channel>, name: &str) -> Result<ServingStatus, Status> {
    let answer = client.clone().check(service(name)).await?;
    Ok(answer.into_inner().status())
}

/// What a watch tells next; `None` at its end.
async fn told(watch: &mut Streaming<HealthCheckResponse>) -> Option<ServingStatus> {
    let next = tokio::time::timeout(Duration::from_secs(10), watch.message()).await;
    let next = next.expect("the watch hears nothing");
    next.unwrap().map(|told| told.status())
}

async fn health_is_in_step_with_readiness(engine: Engine) {
    let server = TestServer::start(engine).await;
    let mut client = HealthClient::new(server.channel().await);
    let mut watch = client.watch(service("")).await.unwrap().into_inner();
    let mut unknown = client.watch(service("nothing")).await.unwrap().into_inner();
    assert_eq!(told(&mut watch).await, Some(ServingStatus::Serving));
    assert_eq!(told(&mut unknown).await, Some(ServingStatus::ServiceUnknown));
    assert_eq!(
        health(&client, "nothing").await.unwrap_err().code(),
        Code::NotFound
    );
    for name in WITH_A_HEALTH {
        assert_eq!(
            health(&client, name).await.unwrap(),
            ServingStatus::Serving,
            "{name}"
        );
    }

    let (there, away) = (
        server.config().data_dir.join("artifacts"),
        server.config().data_dir.join("away"),
    );
    std::fs::rename(&there, &away).unwrap();
    assert_eq!(told(&mut watch).await, Some(ServingStatus::NotServing));
    let ready = server.http().get(server.url("/readyz"));
    Answer::to(ready).await.refused(503, "unavailable");
    for name in WITH_A_HEALTH {
        assert_eq!(
            health(&client, name).await.unwrap(),
            ServingStatus::NotServing,
            "{name}"
        );
    }
    std::fs::rename(&away, &there).unwrap();
    assert_eq!(told(&mut watch).await, Some(ServingStatus::Serving));
    eventually(
        || async { health(&client, "").await.unwrap() },
        |now| *now == ServingStatus::Serving,
    )
    .await;
}

async fn a_watch_of_the_health_is_told_of_the_end_and_does_not_hold_it_up(engine: Engine) {
    let delay = Duration::from_secs(3);
    let mut server = TestServer::start_with(engine, |config| config.shutdown_delay = delay).await;
    let mut client = HealthClient::new(server.channel().await);
    let mut watch = client.watch(service("")).await.unwrap().into_inner();
    let mut unknown = client.watch(service("nothing")).await.unwrap().into_inner();
    assert_eq!(told(&mut watch).await, Some(ServingStatus::Serving));
    told(&mut unknown).await;
    let watching = async {
        assert_eq!(told(&mut watch).await, Some(ServingStatus::NotServing));
        let while_it_drains = health(&client, "").await.unwrap();
        assert_eq!(while_it_drains, ServingStatus::NotServing);
        assert_eq!(told(&mut watch).await, None);
        assert_eq!(told(&mut unknown).await, None);
    };
    let stopping = tokio::time::timeout(delay + Duration::from_secs(10), server.stop());
    let (stopped, ()) = tokio::join!(stopping, watching);
    assert!(stopped.is_ok(), "the watch held up the end");
}

/// Callers who ask nothing, and keep their place while they don't.
async fn reflection_answers_few_at_a_time(engine: Engine) {
    let server = TestServer::start(engine).await;
    let method = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let headers = [("grpc-timeout", "5S")];
    let silent = || {
        grpc(
            &server,
            method,
            reqwest::Body::wrap_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>()),
            &headers,
        )
    };
    let answers = futures::future::join_all((0..20).map(|_| silent())).await;
    let refused = answers
        .iter()
        .filter(|answer| answer.header("grpc-status") == "8");
    assert_eq!(refused.count(), 4);
    let list = [0, 0, 0, 0, 2, 0x3a, 0];
    let answer = grpc(&server, method, list.to_vec(), &[]).await;
    let body = String::from_utf8_lossy(&answer.body);
    assert!(body.contains("tidegate.v1.BuildService"), "{answer:?}");

    let symbol = "google.rpc.ErrorInfo";
    let ask = [&[0, 0, 0, 0, 22, 0x22, 20][..], symbol.as_bytes()].concat();
    let answer = grpc(&server, method, ask, &[]).await;
    let body = String::from_utf8_lossy(&answer.body);
    assert!(body.contains("google/rpc/error_details.proto"), "{answer:?}");
    assert!(!body.contains("NOT_FOUND"), "{answer:?}");
    // By the names that everybody imports, and by those that the library gave them.
    for file in [
        "google/rpc/error_details.proto",
        "google/rpc/status.proto",
        "error_details.proto",
        "status.proto",
        "google/protobuf/duration.proto",
        "google/protobuf/any.proto",
    ] {
        let length = u8::try_from(file.len()).unwrap();
        let ask = [&[0, 0, 0, 0, length + 2, 0x1a, length][..], file.as_bytes()].concat();
        let answer = grpc(&server, method, ask, &[]).await;
        let body = String::from_utf8_lossy(&answer.body);
        assert!(
            body.contains(".proto") && !body.contains("not found"),
            "{file}: {body}"
        );
    }
}

async fn what_the_library_refuses_has_a_code_that_says_whose_fault_it_is(engine: Engine) {
    let server = TestServer::start(engine).await;
    let bearer = format!("Bearer {}", server.operator(Role::Operator).token());
    let token = ("authorization", bearer.as_str());
    let gzip = ("grpc-encoding", "gzip");
    // A string whose bytes are missing, a string that is no UTF-8, a compressed message, no message at all.
    let cut = [0, 0, 0, 0, 2, 0x0a, 9].to_vec();
    let garbled = [0, 0, 0, 0, 3, 0x0a, 1, 0xff].to_vec();
    for (method, body, headers, code) in [
        (LIST_BUILDS, cut.clone(), vec![token], "3"),
        (LIST_BUILDS, garbled, vec![token], "3"),
        (LIST_BUILDS, vec![], vec![token], "3"),
        (UPLOAD_BUILD, cut, vec![token], "3"),
        (LIST_BUILDS, [1, 0, 0, 0, 1, 0].to_vec(), vec![token, gzip], "12"),
        (LIST_BUILDS, [1, 0, 0, 0, 1, 0].to_vec(), vec![token], "13"),
        (LIST_BUILDS, vec![0; 5], vec![token], ""),
    ] {
        let answer = grpc(&server, method, body, &headers).await;
        assert_eq!(answer.header("grpc-status"), code, "{method}: {answer:?}");
        assert_eq!(answer.header("grpc-accept-encoding"), "identity", "{answer:?}");
    }
}

async fn what_is_not_grpc_does_not_reach_it(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    for content_type in [
        "application/json",
        "application/grpc-web",
        "application/grpcx",
        "text/plain",
    ] {
        let request = olga
            .request(reqwest::Method::POST, LIST_BUILDS)
            .header("content-type", content_type);
        Answer::to(request.body(vec![0; 5]))
            .await
            .refused(415, "not_grpc");
        let nowhere = olga
            .request(reqwest::Method::POST, "/nowhere")
            .header("content-type", content_type);
        Answer::to(nowhere).await.refused(404, "no_such_path");
    }
    for content_type in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc;charset=utf-8",
    ] {
        let request = olga
            .request(reqwest::Method::POST, LIST_BUILDS)
            .header("content-type", content_type);
        let answer = Answer::to(request.body(vec![0; 5])).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "application/grpc")
        );
        assert!(answer.body.len() >= 5, "{answer:?}");
    }
}
