//! A phone of the real server.

use std::sync::Arc;

use chrono::Utc;
use tidegate_agent::domain::Role;
use tidegate_agent::{Agent, Credentials, Enrollment, FolderStore, HttpTransport, StateStore, enroll};
use tidegate_testkit::apks;
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer};

use crate::phone::{Phone, fingerprint_of, open};

/// A server with its operator, and one phone with version 1.
pub(crate) struct World {
    pub server: TestServer,
    pub operator: Operator,
    pub phone: Arc<Phone>,
    pub credentials: Credentials,
    pub folder: tempfile::TempDir,
}

/// The phone's name.
pub(crate) const DEVICE: &str = "phone-1";

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(Engine::Sqlite).await
    }

    pub(crate) async fn on(engine: Engine) -> Self {
        Self::of(TestServer::start(engine).await).await
    }

    pub(crate) async fn of(server: TestServer) -> Self {
        let operator = server.operator(Role::Admin);
        let token = operator.enroll_token(1).await;
        let credentials = enroll(
            &HttpTransport::direct().unwrap(),
            &server.url(""),
            &token,
            &DEVICE.parse().unwrap(),
            &Enrollment {
                sdk: Some(34),
                ..Enrollment::default()
            },
        )
        .await
        .unwrap();
        let phone = Phone::with(1, fingerprint_of(&apks::build(apks::PACKAGE, 1)));
        // The server's clock starts at noon, as the phone's does.
        Self {
            server,
            operator,
            phone,
            credentials,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Uploads and releases to everybody.
    pub(crate) async fn release(&self, apk: &[u8]) -> i64 {
        let build = self.operator.uploaded(apk).await;
        self.operator.promote(build, 100).await.ok();
        build
    }

    pub(crate) fn open(&self) -> Agent<Arc<Phone>, HttpTransport, FolderStore> {
        self.open_on(FolderStore::open(self.folder.path()).unwrap())
    }

    pub(crate) fn open_on<S: StateStore>(&self, store: S) -> Agent<Arc<Phone>, HttpTransport, S> {
        let transport = HttpTransport::direct().unwrap();
        open(
            &self.phone,
            &self.server.url(""),
            DEVICE,
            &self.credentials,
            transport,
            store,
        )
    }

    pub(crate) fn now(&self) -> chrono::DateTime<Utc> {
        self.phone.facts().now
    }
}
