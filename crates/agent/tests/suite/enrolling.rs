//! A phone enrols, repeats it, and moves from another server.

use std::sync::Mutex;

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate_agent::domain::Role;
use tidegate_agent::{
    Body, Credentials, Enrollment, EnrollmentKey, Error, FolderStore, HttpTransport, Transport, enroll,
    enroll_with_previous_token,
};
use tidegate_signing::{ExposeSecret, SecretString};
use tidegate_testkit::server::{Engine, TestServer};

fn token(credentials: &Credentials) -> &str {
    credentials.device_token.expose_secret()
}

fn with_key(key: &EnrollmentKey) -> Enrollment {
    Enrollment {
        enrollment_key: Some(key.clone()),
        ..Enrollment::default()
    }
}

#[test]
fn the_key_is_drawn_once_and_stays_with_the_state() {
    let folder = tempfile::tempdir().unwrap();
    let key = || {
        let store = FolderStore::open(folder.path()).unwrap();
        store.enrollment_key().unwrap().text().expose_secret().to_owned()
    };
    let first = key();
    assert_eq!(first, key());
    assert_eq!(first.len(), 43);
    let file = folder.path().join("enrollment.key");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
    std::fs::write(&file, "short").unwrap();
    let store = FolderStore::open(folder.path()).unwrap();
    assert!(matches!(store.enrollment_key(), Err(Error::Invalid { .. })));
    assert!(!format!("{:?}", EnrollmentKey::draw().unwrap()).contains(&first[..4]));
}

#[tokio::test]
async fn a_phone_repeats_its_enrolment_and_another_does_not() {
    let server = TestServer::start(Engine::Sqlite).await;
    let enrollment_token = server.operator(Role::Admin).enroll_token(1).await;
    let transport = HttpTransport::direct().unwrap();
    let (url, device) = (server.url(""), "phone-1".parse().unwrap());
    let [ours, theirs] = [(); 2].map(|()| with_key(&EnrollmentKey::draw().unwrap()));
    let ask = async |about: &Enrollment| enroll(&transport, &url, &enrollment_token, &device, about).await;
    let first = ask(&ours).await.unwrap();
    assert_eq!(token(&first), token(&ask(&ours).await.unwrap()));
    for other in [&theirs, &Enrollment::default()] {
        let refused = ask(other).await.unwrap_err();
        let is_known = matches!(&refused, Error::Refused { status: 409, code, .. } if code == "device_known");
        assert!(is_known, "{refused}");
    }
}

#[tokio::test]
async fn a_phone_with_its_previous_token_alone_ends_up_enrolled() {
    let server = TestServer::start(Engine::Sqlite).await;
    let line = json!({
        "device_id": "till-1",
        "token_sha256": "9bdf10a691a1cfda89d9ff66629d1609ab176cec9b6a3146a8929f28937a9fce",
    });
    server.import_devices(&line.to_string()).await;
    let transport = HttpTransport::direct().unwrap();
    let (url, device) = (server.url(""), "till-1".parse().unwrap());
    let about = with_key(&EnrollmentKey::draw().unwrap());
    let moves = async |previous: &str, about: &Enrollment| {
        let previous = SecretString::from(previous);
        enroll_with_previous_token(&transport, &url, &previous, &device, about).await
    };
    let keyless = moves("old-token", &Enrollment::default()).await;
    assert!(matches!(keyless, Err(Error::Invalid { .. })));
    let wrong = moves("another", &about).await;
    assert!(matches!(wrong, Err(Error::Refused { status: 401, .. })));
    let moved = moves("old-token", &about).await.unwrap();
    let again = moves("old-token", &about).await.unwrap();
    assert_eq!(token(&moved), token(&again), "the answer may be lost");
}

/// A server that is too old to know enrolment keys, and refuses what it does not know.
#[derive(Default)]
struct OldServer(Mutex<Vec<Value>>);

impl Transport for OldServer {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, Error> {
        let asked: Value = serde_json::from_slice(request.body()).unwrap();
        let (status, answer) = if asked.get("enrollment_key").is_some() {
            (400, json!({ "code": "invalid_argument" }))
        } else {
            let keys = json!({ "primary": "0123456789abcdef" });
            (
                201,
                json!({ "device_token": "t", "command_keys": keys, "poll_after_s": 60 }),
            )
        };
        self.0.lock().unwrap().push(asked);
        let response = http::Response::builder().status(status);
        Ok(response
            .body(Body::from(answer.to_string().into_bytes()))
            .unwrap())
    }
}

#[tokio::test]
async fn a_server_that_is_too_old_for_keys_is_asked_without() {
    let server = OldServer::default();
    let about = with_key(&EnrollmentKey::draw().unwrap());
    let device = "phone-1".parse().unwrap();
    let enrolled = enroll(&server, "https://old.example.com", "token", &device, &about).await;
    assert_eq!(token(&enrolled.unwrap()), "t");
    let asked = server.0.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert_eq!(
        asked[1],
        json!({ "enrollment_token": "token", "device_id": "phone-1" })
    );
}
