//! The use cases of one instance of the server, and the people and devices that call them.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use chrono::TimeDelta;
use tempfile::TempDir;
use tidegate_artifacts as artifacts;
use tidegate_domain::{
    Build, BuildId, DeploymentStats, DeviceFacts, DeviceId, PackageName, Percent, Promotion, Role,
    RolloutSettings, VersionCode,
};
use tidegate_service::{
    ActivityBuffer, Actor, AuditLog, Authenticator, BlobCheck, Builds, Clock, Counters, DeviceCredential,
    Devices, Downloads, EnrollTokenSpec, Enrolled, Error, Kind, NewDevice, Nudges, Packages, Policies, Polls,
    Readiness, Reports, Retention, RetentionSettings, Rollouts, Settings, Snapshots, Tags, UploadNotes,
    Uploads, Users,
};
use tidegate_signing::{ExposeSecret, KeyRing, MasterKey};
use tidegate_storage::{self as storage, Store};
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::clock::ManualClock;
use tokio::sync::Notify;

/// One instance. Its fields are the use cases, and what a test looks at besides.
pub(crate) struct Instance {
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) audit: AuditLog,
    pub(crate) builds: Builds,
    pub(crate) devices: Devices,
    pub(crate) downloads: Downloads,
    pub(crate) nudges: Nudges,
    pub(crate) packages: Packages,
    pub(crate) policies: Policies,
    pub(crate) polls: Polls,
    pub(crate) readiness: Readiness,
    pub(crate) reports: Reports,
    pub(crate) rollouts: Rollouts,
    pub(crate) tags: Tags,
    pub(crate) uploads: Uploads,
    pub(crate) users: Users,
    pub(crate) activity: Arc<ActivityBuffer>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) snapshots: Arc<Snapshots>,
    /// Notifies the sender of nudges.
    pub(crate) wake: Arc<Notify>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) store: Store,
    settings: Settings,
    folder: Arc<TempDir>,
}

impl Instance {
    /// An instance of its own, with the default settings.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// An instance of its own, with other settings.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        change(&mut settings);
        let keys = KeyRing::new(&MasterKey::generate().unwrap(), None);
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::over(folder, Arc::new(keys), Arc::default(), settings).await
    }

    /// The store of the builds' files.
    pub(crate) fn artifacts(&self) -> artifacts::Store {
        artifacts::Store::local(&self.folder.path().join("artifacts")).unwrap()
    }

    /// A second instance that does not know yet which tags devices have.
    pub(crate) async fn cold_beside(&self) -> Self {
        let (folder, keys, clock) = (&self.folder, &self.keys, &self.clock);
        let settings = self.settings.clone();
        Self::cold(Arc::clone(folder), Arc::clone(keys), Arc::clone(clock), settings).await
    }

    /// A second instance over the same database, files, keys and clock.
    pub(crate) async fn beside(&self) -> Self {
        let (folder, keys, clock) = (&self.folder, &self.keys, &self.clock);
        let settings = self.settings.clone();
        Self::over(Arc::clone(folder), Arc::clone(keys), Arc::clone(clock), settings).await
    }

    async fn over(
        folder: Arc<TempDir>,
        keys: Arc<KeyRing>,
        manual: Arc<ManualClock>,
        settings: Settings,
    ) -> Self {
        let instance = Self::cold(folder, keys, manual, settings).await;
        instance.snapshots.catch_up_tags().await.unwrap();
        instance
    }

    async fn cold(
        folder: Arc<TempDir>,
        keys: Arc<KeyRing>,
        manual: Arc<ManualClock>,
        settings: Settings,
    ) -> Self {
        let database = folder.path().join("tidegate.db");
        let store = Store::open(&storage::Settings::new(database.to_str().unwrap()))
            .await
            .unwrap();
        let files = artifacts::Store::local(&folder.path().join("artifacts")).unwrap();
        let clock = Arc::clone(&manual) as Arc<dyn Clock>;
        let loading = Snapshots::load_for_polls(store.clone(), Arc::clone(&clock));
        let snapshots = Arc::new(loading.await.unwrap());
        let activity = Arc::new(ActivityBuffer::new(1));
        let counters = Arc::<Counters>::default();
        let shared = Arc::new(settings.clone());
        let authenticator = Arc::new(Authenticator::new(
            Arc::clone(&keys),
            Arc::clone(&snapshots),
            Arc::clone(&clock),
        ));
        let (reports, writer) = Reports::new(
            store.clone(),
            Arc::clone(&snapshots),
            Arc::clone(&activity),
            Arc::clone(&keys),
            Arc::clone(&counters),
            Arc::clone(&clock),
        );
        tokio::spawn(writer.run());
        let wake = Arc::<Notify>::default();
        Self {
            audit: AuditLog::new(store.clone(), Arc::clone(&clock)),
            builds: Builds::new(store.clone(), Arc::clone(&snapshots), Arc::clone(&clock)),
            devices: Devices::new(
                store.clone(),
                Arc::clone(&snapshots),
                Arc::clone(&keys),
                Arc::clone(&clock),
                Arc::clone(&shared),
            ),
            downloads: Downloads::new(
                store.clone(),
                files.clone(),
                Arc::clone(&snapshots),
                Arc::clone(&keys),
                Arc::clone(&authenticator),
                reports.clone(),
                Arc::clone(&clock),
            ),
            nudges: Nudges::new(
                store.clone(),
                Arc::clone(&snapshots),
                Arc::clone(&clock),
                Some(Arc::clone(&wake)),
            ),
            packages: Packages::new(store.clone(), Arc::clone(&clock)),
            policies: Policies::new(store.clone(), Arc::clone(&snapshots), Arc::clone(&clock)),
            tags: Tags::new(store.clone(), Arc::clone(&snapshots), Arc::clone(&clock)),
            polls: Polls::new(
                Arc::clone(&snapshots),
                Arc::clone(&activity),
                Arc::clone(&keys),
                Arc::clone(&clock),
                Arc::clone(&shared),
            ),
            readiness: Readiness::new(store.clone(), files.clone()),
            rollouts: Rollouts::new(
                store.clone(),
                files.clone(),
                Arc::clone(&snapshots),
                Arc::clone(&clock),
            ),
            uploads: Uploads::new(
                store.clone(),
                files,
                Arc::clone(&snapshots),
                Arc::clone(&clock),
                shared,
                Arc::clone(&counters),
            ),
            users: Users::new(store.clone(), Arc::clone(&snapshots), Arc::clone(&keys), clock),
            authenticator,
            reports,
            activity,
            counters,
            snapshots,
            wake,
            clock: manual,
            keys,
            store,
            settings,
            folder,
        }
    }

    /// What removes what is old, by these settings.
    pub(crate) fn retention(&self, settings: RetentionSettings) -> Retention {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Retention::new(self.store.clone(), clock, Arc::clone(&self.counters), settings)
    }

    /// The instance's folder.
    pub(crate) fn blob_check(&self) -> BlobCheck {
        let files = artifacts::Store::local(&self.path("artifacts")).unwrap();
        BlobCheck::new(self.store.clone(), files)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How many files are in the artifact store, those of uploads under way included.
    pub(crate) fn files(&self) -> usize {
        let mut folders = vec![self.path("artifacts")];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files += 1;
                }
            }
        }
        files
    }

    /// Uploads a file.
    pub(crate) async fn upload(&self, apk: Vec<u8>) -> Result<Build, Error> {
        let mut upload = self.uploads.begin(operator()).await?;
        upload.write(Bytes::from(apk)).await?;
        let uploaded = self.uploads.finish(upload, UploadNotes::default()).await?;
        Ok(uploaded.build)
    }

    /// Uploads a release of [`PACKAGE`] of this version.
    pub(crate) async fn build(&self, version: i64) -> BuildId {
        let build = self.upload(apks::build(PACKAGE, version)).await;
        build.unwrap().id
    }

    /// Uploads a release of this version, and offers it to everybody.
    pub(crate) async fn release(&self, version: i64) -> BuildId {
        let build = self.build(version).await;
        self.promote(build, to(100)).await;
        build
    }

    /// Promotes a build, which is not refused.
    pub(crate) async fn promote(&self, build: BuildId, promotion: Promotion) {
        let promoted = self.rollouts.promote(operator(), build, promotion, None);
        promoted.await.unwrap();
    }

    /// A token with which so many devices enrol within a week.
    pub(crate) async fn enrollment_token(&self, uses: u32) -> String {
        let token = self.devices.create_enroll_token(admin(), token_for(uses)).await;
        token.unwrap().token.expose_secret().to_owned()
    }

    /// Enrols a device that can be nudged: its FCM token is `fcm-` and its name.
    pub(crate) async fn enrol(&self, name: &str) -> Enrolled {
        let token = self.enrollment_token(1).await;
        self.devices.enroll(new_device(name, &token)).await.unwrap()
    }

    /// A build's counts.
    pub(crate) async fn stats(&self, build: BuildId) -> DeploymentStats {
        self.builds.stats(build, 0).await.unwrap().stats
    }

    /// What the audit log tells, oldest first.
    pub(crate) async fn actions(&self) -> Vec<String> {
        let entries = self.audit.list(Default::default(), Default::default()).await;
        let entries = entries.unwrap().items.into_iter().rev();
        entries.map(|entry| entry.action).collect()
    }
}

static VIEWER: LazyLock<Actor> = LazyLock::new(|| person(Role::Viewer));
static OPERATOR: LazyLock<Actor> = LazyLock::new(|| person(Role::Operator));
static ADMIN: LazyLock<Actor> = LazyLock::new(|| person(Role::Admin));

/// Somebody with this role, named after it.
fn person(role: Role) -> Actor {
    Actor {
        subject: role.as_str().to_owned(),
        role,
        request_id: Some("request-1".to_owned()),
        credential: None,
        limits: None,
    }
}

pub(crate) fn viewer() -> &'static Actor {
    &VIEWER
}

pub(crate) fn operator() -> &'static Actor {
    &OPERATOR
}

pub(crate) fn admin() -> &'static Actor {
    &ADMIN
}

/// A plain rollout to this share.
pub(crate) fn to(percent: i64) -> Promotion {
    Promotion {
        settings: RolloutSettings::to(Percent::new(percent).unwrap()),
        keep_previous: false,
        retry_failed: false,
        auto_start: false,
        plan: None,
        gate: None,
    }
}

/// A token with which so many devices may enrol.
pub(crate) fn token_for(uses: u32) -> EnrollTokenSpec {
    EnrollTokenSpec {
        uses,
        ttl: TimeDelta::days(7),
        note: String::new(),
        allow_known: false,
    }
}

/// A device as it asks to be enrolled.
pub(crate) fn new_device(name: &str, enrollment_token: &str) -> NewDevice {
    NewDevice {
        credential: DeviceCredential::EnrollmentToken(enrollment_token.to_owned()),
        enrollment_key: None,
        id: id(name),
        alias: None,
        facts: DeviceFacts::default(),
        fcm_token: Some(format!("fcm-{name}")),
        installed: None,
    }
}

pub(crate) fn id(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

pub(crate) fn package() -> PackageName {
    PackageName::parse(PACKAGE).unwrap()
}

pub(crate) fn version(code: i64) -> VersionCode {
    VersionCode::new(code).unwrap()
}

/// The kind and the code of a refusal.
pub(crate) fn refusal<T>(answer: Result<T, Error>) -> (Kind, &'static str) {
    match answer {
        Ok(_) => panic!("this was to be refused"),
        Err(error) => (error.kind, error.code),
    }
}
