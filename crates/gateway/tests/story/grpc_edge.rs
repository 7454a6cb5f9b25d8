//! What gRPC does with callers before and beside its verbs: credentials, deadlines, sizes.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::server::{Engine, TestServer};

use crate::paths::grpc;

on_both_engines!(
    a_credential_is_asked_for_before_the_body,
    a_message_is_bounded_by_its_method,
);

const LIST_BUILDS: &str = "/tidegate.v1.BuildService/ListBuilds";
const UPLOAD_BUILD: &str = "/tidegate.v1.BuildService/UploadBuild";
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
        NUDGE_UPDATE,
        "/tidegate.v1.NudgeService/WatchCampaign",
        "/tidegate.v1.AuditService/ListAudit",
        "/tidegate.v1.DeviceService/GetDevice",
        "/tidegate.v1.PackageService/PinSigner",
        "/tidegate.v1.RolloutService/Promote",
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
        (NUDGE_UPDATE, 2 << 20),
        (UPLOAD_BUILD, (1 << 20) + (64 << 10)),
        ("/tidegate.v1.NudgeService/GetCampaign", 64 << 10),
        ("/tidegate.v1.AuthService/Login", 64 << 10),
    ] {
        let waits = soon(grpc(&server, method, unfinished(limit), &headers)).await;
        assert_eq!(waits.header("grpc-status"), "4", "{method}: {waits:?}");
        let refused = soon(grpc(&server, method, unfinished(limit + 1), &headers)).await;
        assert_eq!(refused.header("grpc-status"), "11", "{method}: {refused:?}");
    }
}
