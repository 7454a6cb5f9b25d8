//! The same verbs over gRPC, through the generated client.

use futures::{StreamExt as _, stream};
use prost::Message as _;
use serde_json::Value;
use tidegate_domain::Role;
use tidegate_proto::v1;
use tidegate_proto::v1::audit_service_client::AuditServiceClient;
use tidegate_proto::v1::auth_service_client::AuthServiceClient;
use tidegate_proto::v1::build_service_client::BuildServiceClient;
use tidegate_proto::v1::device_service_client::DeviceServiceClient;
use tidegate_proto::v1::rollout_service_client::RolloutServiceClient;
use tidegate_proto::v1::upload_build_request::Part;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer, eventually};
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::uploads::{BLOBS, STAGING};

on_both_engines!(
    both_protocols_answer_alike,
    both_protocols_refuse_alike,
    a_build_is_uploaded_in_a_stream,
    a_stream_that_is_no_upload_is_refused,
    a_stream_that_breaks_off_leaves_nothing,
    a_deadline_is_kept,
    a_page_is_no_larger_than_clients_take,
    a_person_logs_in,
);

/// Puts the token into each call.
#[derive(Clone)]
struct Bearer(String);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = MetadataValue::try_from(format!("Bearer {}", self.0)).unwrap();
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

type Authorized = InterceptedService<Channel, Bearer>;

/// All services with one person's token.
struct Clients {
    builds: BuildServiceClient<Authorized>,
    rollouts: RolloutServiceClient<Authorized>,
    devices: DeviceServiceClient<Authorized>,
    audit: AuditServiceClient<Authorized>,
}

async fn clients(server: &TestServer, token: &str) -> Clients {
    let (channel, bearer) = (server.channel().await, Bearer(token.to_owned()));
    Clients {
        builds: BuildServiceClient::with_interceptor(channel.clone(), bearer.clone()),
        rollouts: RolloutServiceClient::with_interceptor(channel.clone(), bearer.clone()),
        devices: DeviceServiceClient::with_interceptor(channel.clone(), bearer.clone()),
        audit: AuditServiceClient::with_interceptor(channel, bearer),
    }
}

fn metadata(notes: &str) -> v1::UploadBuildRequest {
    let metadata = v1::UploadMetadata {
        notes: notes.to_owned(),
        ..v1::UploadMetadata::default()
    };
    v1::UploadBuildRequest {
        part: Some(Part::Metadata(metadata)),
    }
}

fn chunk(bytes: &[u8]) -> v1::UploadBuildRequest {
    v1::UploadBuildRequest {
        part: Some(Part::Chunk(bytes.to_vec())),
    }
}

/// Uploads a file that fits into one message.
pub(crate) async fn upload(server: &TestServer, token: &str, apk: &[u8]) -> v1::Build {
    let messages = stream::iter([metadata(""), chunk(apk)]);
    let mut clients = clients(server, token).await;
    clients.builds.upload_build(messages).await.unwrap().into_inner()
}

fn json_of(message: impl serde::Serialize) -> Value {
    serde_json::to_value(message).unwrap()
}

async fn both_protocols_answer_alike(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    let mut grpc = clients(&server, ada.token()).await;
    let old = ada.uploaded(&apks::build(PACKAGE, 1)).await;
    let new = ada.uploaded(&apks::build(PACKAGE, 2)).await;

    let promote = v1::PromoteRequest {
        build_id: old,
        rollout_percent: 100.0,
        ..v1::PromoteRequest::default()
    };
    let promoted = grpc.rollouts.promote(promote).await.unwrap().into_inner();
    assert_eq!(json_of(promoted), ada.promote(old, 100).await.ok());
    ada.promote(new, 10).await.ok();
    let adjust = v1::AdjustRolloutRequest {
        build_id: new,
        // As callers of earlier versions say it.
        whole_percent: 30,
        ..v1::AdjustRolloutRequest::default()
    };
    let adjusted = grpc.rollouts.adjust_rollout(adjust).await.unwrap().into_inner();
    assert_eq!((adjusted.old_percent, adjusted.new_percent), (10.0, 30.0));
    assert_eq!((adjusted.whole_old_percent, adjusted.whole_new_percent), (10, 30));
    let pause = v1::PauseRolloutRequest {
        build_id: new,
        rollout_id: 0,
    };
    let paused = grpc.rollouts.pause_rollout(pause).await.unwrap().into_inner();
    assert_eq!(json_of(paused), ada.pause(new).await.ok());
    let resume = v1::ResumeRolloutRequest {
        build_id: new,
        rollout_id: 0,
        ..v1::ResumeRolloutRequest::default()
    };
    assert_eq!(
        grpc.rollouts
            .resume_rollout(resume)
            .await
            .unwrap()
            .into_inner()
            .state,
        "active"
    );

    let device = server.device("pixel-1").await;
    device.poll(1).await;
    let build = grpc
        .builds
        .get_build(v1::GetBuildRequest { build_id: new })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(json_of(build), ada.build(new).await.ok());
    let builds = grpc
        .builds
        .list_builds(v1::ListBuildsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(json_of(builds), ada.builds("").await.ok());
    let rollouts = grpc
        .rollouts
        .list_rollouts(v1::ListRolloutsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(json_of(rollouts), ada.rollouts("").await.ok());
    let explain = v1::ExplainDeviceRequest {
        device_id: device.id.clone(),
        package_name: PACKAGE.to_owned(),
        current_version_code: Some(1),
    };
    let explained = grpc.devices.explain_device(explain).await.unwrap().into_inner();
    assert_eq!(json_of(explained), ada.explain(&device.id, PACKAGE, 1).await.ok());
    let page = grpc
        .devices
        .get_device(v1::GetDeviceRequest {
            device_id: device.id.clone(),
        })
        .await
        .unwrap();
    assert_eq!(page.into_inner().device_id, device.id);

    let compare = v1::CompareBuildsRequest {
        build_id: old,
        from_build_id: 0,
    };
    let compared = grpc.builds.compare_builds(compare).await.unwrap().into_inner();
    assert_eq!(compared.from_build_id, new);
    assert_eq!(
        json_of(compared),
        ada.get(&format!("/v1/apk/{old}/diff")).await.ok()
    );

    let back = v1::RollBackRequest {
        package_name: PACKAGE.to_owned(),
        force_downgrade: false,
        build_id: None,
    };
    let back = grpc.rollouts.roll_back(back).await.unwrap().into_inner();
    assert_eq!(back.rolled_back_to.unwrap().build_id, old);
    let stats = v1::GetDeploymentStatsRequest {
        build_id: new,
        hours: 24,
    };
    let stats = grpc
        .builds
        .get_deployment_stats(stats)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(stats.build_id, new);
    let log = grpc
        .audit
        .list_audit(v1::ListAuditRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(json_of(log)["items"], Value::Array(ada.audit("").await));
    assert!(
        grpc.audit
            .verify_audit(v1::VerifyAuditRequest {})
            .await
            .unwrap()
            .into_inner()
            .intact
    );
}

/// The gRPC code, the reason in `ErrorInfo`, and the field of the `BadRequest`.
fn told(status: &Status) -> (Code, String, Option<String>) {
    let details = status.get_error_details();
    let info = details.error_info().expect("every refusal has an ErrorInfo");
    assert_eq!(info.domain, "tidegate");
    let field = details
        .bad_request()
        .map(|bad| bad.field_violations[0].field.clone());
    (status.code(), info.reason.clone(), field)
}

#[track_caller]
fn alike(status: &Status, code: Code, rest: &Answer) {
    let problem = rest.json();
    let (grpc_code, reason, field) = told(status);
    assert_eq!(grpc_code, code, "{status:?}");
    let code = problem["code"].as_str().unwrap();
    assert_eq!(reason, code.to_ascii_uppercase(), "{status:?}");
    assert_eq!(field.as_deref(), problem["field"].as_str(), "{status:?}");
    assert_eq!(status.message(), problem["detail"], "{status:?}");
}

async fn both_protocols_refuse_alike(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    let build = ada.uploaded(&apks::build(PACKAGE, 1)).await;
    ada.promote(build, 50).await.ok();
    let before = ada.everything().await;
    let mut grpc = clients(&server, ada.token()).await;
    let promote = |build_id, whole_percent| v1::PromoteRequest {
        build_id,
        whole_percent,
        ..v1::PromoteRequest::default()
    };
    for percent in [0, 101, -1] {
        let status = grpc.rollouts.promote(promote(build, percent)).await.unwrap_err();
        alike(&status, Code::InvalidArgument, &ada.promote(build, percent).await);
    }
    let status = grpc.rollouts.promote(promote(999, 10)).await.unwrap_err();
    alike(&status, Code::NotFound, &ada.promote(999, 10).await);
    let back = v1::RollBackRequest {
        package_name: PACKAGE.to_owned(),
        force_downgrade: false,
        build_id: None,
    };
    let status = grpc.rollouts.roll_back(back).await.unwrap_err();
    alike(
        &status,
        Code::FailedPrecondition,
        &ada.roll_back(PACKAGE, false).await,
    );
    let negative = v1::ListBuildsRequest {
        page_size: -1,
        ..v1::ListBuildsRequest::default()
    };
    let status = grpc.builds.list_builds(negative).await.unwrap_err();
    alike(&status, Code::InvalidArgument, &ada.builds("?page_size=-1").await);
    let odd = v1::ListDevicesRequest {
        page_token: "garbage".to_owned(),
        ..v1::ListDevicesRequest::default()
    };
    let status = grpc.devices.list_devices(odd).await.unwrap_err();
    alike(
        &status,
        Code::InvalidArgument,
        &ada.devices("?page_token=garbage").await,
    );
    let nobody = v1::RevokeDeviceRequest {
        device_id: "nobody".to_owned(),
    };
    let status = grpc.devices.revoke_device(nobody).await.unwrap_err();
    alike(&status, Code::NotFound, &ada.revoke("nobody").await);

    let viewer = server.operator(Role::Viewer);
    let mut low = clients(&server, viewer.token()).await;
    let status = low.rollouts.promote(promote(build, 10)).await.unwrap_err();
    alike(&status, Code::PermissionDenied, &viewer.promote(build, 10).await);
    let upload = stream::iter([metadata(""), chunk(b"x")]);
    let status = low.builds.upload_build(upload).await.unwrap_err();
    alike(&status, Code::PermissionDenied, &viewer.upload(b"x").await);
    let forger = viewer.with_token("a.b.c");
    let status = clients(&server, "a.b.c")
        .await
        .builds
        .list_builds(v1::ListBuildsRequest::default())
        .await;
    alike(
        &status.unwrap_err(),
        Code::Unauthenticated,
        &forger.builds("").await,
    );
    let mut nobody = AuditServiceClient::new(server.channel().await);
    let status = nobody
        .list_audit(v1::ListAuditRequest::default())
        .await
        .unwrap_err();
    assert_eq!(told(&status).1, "NO_TOKEN");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(ada.everything().await, before);
}

async fn a_build_is_uploaded_in_a_stream(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let mut grpc = clients(&server, olga.token()).await;
    let apk = apks::large(PACKAGE, 3, 3 << 20);
    let messages = std::iter::once(metadata("Streamed.")).chain(apk.chunks(256 << 10).map(chunk));
    let messages: Vec<_> = messages.collect();
    let build = grpc
        .builds
        .upload_build(stream::iter(messages))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (build.version_code, build.release_notes.as_str()),
        (3, "Streamed.")
    );
    assert_eq!(json_of(&build), olga.build(build.build_id).await.ok());
    let again = std::iter::once(metadata("Again.")).chain(apk.chunks(256 << 10).map(chunk));
    let again: Vec<_> = again.collect();
    let again = grpc.builds.upload_build(stream::iter(again)).await.unwrap();
    assert_eq!(again.into_inner(), build, "the same file again");
    let other = [metadata(""), chunk(&apks::build(PACKAGE, 3))];
    let status = grpc.builds.upload_build(stream::iter(other)).await.unwrap_err();
    assert_eq!(
        told(&status),
        (Code::AlreadyExists, "VERSION_EXISTS".to_owned(), None)
    );
    let details = status.get_error_details();
    let members = &details.error_info().unwrap().metadata;
    assert_eq!(members["build_id"], build.build_id.to_string());
    assert_eq!(members["sha256"], build.sha256);
    assert_eq!(
        olga.get(&format!("/v1/apk/{}/download", build.build_id))
            .await
            .body,
        apk
    );
}

async fn a_stream_that_is_no_upload_is_refused(engine: Engine) {
    let server = TestServer::start_with(engine, |config| config.max_upload_bytes = 2 << 20).await;
    let olga = server.operator(Role::Operator);
    let mut grpc = clients(&server, olga.token()).await;
    let before = olga.everything().await;
    let apk = apks::build(PACKAGE, 1);
    let mib = vec![0; 1 << 20];
    let bad = [
        (vec![], "invalid_argument", Some("metadata")),
        (vec![chunk(&apk)], "invalid_argument", Some("metadata")),
        (
            vec![metadata(""), chunk(&apk), metadata("")],
            "invalid_argument",
            Some("metadata"),
        ),
        (
            vec![metadata(""), chunk(&vec![0; (1 << 20) + 1])],
            "invalid_argument",
            Some("chunk"),
        ),
        (
            vec![metadata(&"x".repeat(70_000)), chunk(&apk)],
            "invalid_argument",
            Some("notes"),
        ),
        (
            vec![metadata(""), chunk(&mib), chunk(&mib), chunk(b"x")],
            "too_large",
            None,
        ),
        (vec![metadata(""), chunk(b"GIF89a")], "not_an_apk", None),
        (vec![metadata("")], "not_an_apk", None),
        (
            vec![metadata(""), v1::UploadBuildRequest::default()],
            "invalid_argument",
            Some("metadata"),
        ),
    ];
    for (messages, reason, field) in bad {
        let count = messages.len();
        let status = grpc
            .builds
            .upload_build(stream::iter(messages))
            .await
            .unwrap_err();
        let told = told(&status);
        assert_eq!(
            (told.1.as_str(), told.2.as_deref()),
            (reason.to_ascii_uppercase().as_str(), field),
            "{count} messages: {status:?}"
        );
        assert_eq!(told.0, Code::InvalidArgument);
    }
    assert_eq!(olga.everything().await, before);
    eventually(|| async { server.files_in(STAGING) }, Vec::is_empty).await;
    assert!(server.files_in(BLOBS).is_empty());
}

async fn a_stream_that_breaks_off_leaves_nothing(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    let mut grpc = clients(&server, olga.token()).await;
    let before = olga.everything().await;
    let apk = apks::large(PACKAGE, 1, 100_000);
    let (send, messages) = futures::channel::mpsc::unbounded();
    send.unbounded_send(metadata("")).unwrap();
    send.unbounded_send(chunk(&apk[..50_000])).unwrap();
    let call = tokio::spawn(async move { grpc.builds.upload_build(messages).await });
    eventually(|| async { server.files_in(STAGING) }, |files| !files.is_empty()).await;
    call.abort();
    drop(send);
    eventually(|| async { server.files_in(STAGING) }, Vec::is_empty).await;
    assert_eq!(olga.everything().await, before);
    assert!(server.files_in(BLOBS).is_empty());
}

/// An upload that never goes on.
async fn a_deadline_is_kept(engine: Engine) {
    let server = TestServer::start(engine).await;
    let bearer = format!("Bearer {}", server.operator(Role::Operator).token());
    let path = "/tidegate.v1.BuildService/UploadBuild";
    // By hand: a client of ours would give up by itself.
    let begun = stream::iter([Ok::<_, std::io::Error>(framed(&metadata("")))]);
    let stalled = reqwest::Body::wrap_stream(begun.chain(stream::pending()));
    let headers = [("authorization", bearer.as_str()), ("grpc-timeout", "100m")];
    let ended = crate::paths::grpc(&server, path, stalled, &headers).await;
    assert_eq!(
        (ended.status, ended.header("grpc-status")),
        (200, "4"),
        "{:?}",
        ended.headers
    );
    eventually(|| async { server.files_in(STAGING) }, Vec::is_empty).await;

    let headers = [("authorization", bearer.as_str()), ("grpc-timeout", "1M")];
    let list = "/tidegate.v1.BuildService/ListBuilds";
    let in_time = crate::paths::grpc(&server, list, vec![0; 5], &headers).await;
    assert!(in_time.body.len() >= 5, "{in_time:?}");
}

/// A message as it goes over the wire: uncompressed, its length, its bytes.
fn framed(message: &v1::UploadBuildRequest) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &bytes].concat()
}

/// Audit entries that tell the longest audience, before and after.
async fn a_page_is_no_larger_than_clients_take(engine: Engine) {
    const CHANGES: usize = 90;
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let names =
        |kind: &str| -> Vec<String> { (0..100).map(|number| format!("{kind}-{number:0>120}")).collect() };
    let audience = serde_json::json!({ "regions": names("region"), "models": names("model") });
    let settings = serde_json::json!({ "rollout_percent": 1, "audience": audience });
    olga.promote_as(build, &settings).await.ok();
    for percent in (1..=2).cycle().skip(1).take(CHANGES) {
        olga.adjust(build, percent).await.ok();
    }
    let mut grpc = clients(&server, olga.token()).await;
    let (mut seen, mut pages, mut request) = (vec![], 0, v1::ListAuditRequest::default());
    request.page_size = 500;
    loop {
        // The client refuses an answer of more than four megabytes.
        let page = grpc.audit.list_audit(request.clone()).await.unwrap().into_inner();
        assert!(!page.items.is_empty());
        seen.extend(page.items.iter().map(|entry| entry.seq));
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let each_once = seen.windows(2).all(|pair| pair[0] == pair[1] + 1);
    assert!(each_once && seen.last() == Some(&1), "{seen:?}");
    assert!(seen.len() > CHANGES, "{seen:?}");
    assert!(pages > 1, "{pages}");
}

async fn a_person_logs_in(engine: Engine) {
    let server = TestServer::start(engine).await;
    server
        .add_user("olga", Role::Operator, "correct horse battery")
        .await;
    let mut auth = AuthServiceClient::new(server.channel().await);
    let login = |password: &str| v1::LoginRequest {
        name: "olga".to_owned(),
        password: password.to_owned(),
    };
    let token = auth
        .login(login("correct horse battery"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(token.role, "operator");
    let mut grpc = clients(&server, &token.token).await;
    grpc.builds
        .list_builds(v1::ListBuildsRequest::default())
        .await
        .unwrap();
    let status = auth.login(login("wrong")).await.unwrap_err();
    assert_eq!(
        told(&status),
        (Code::Unauthenticated, "LOGIN_REFUSED".to_owned(), None)
    );
    assert!(token.expires_at.is_some());
}
