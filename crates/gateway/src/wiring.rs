//! Puts the parts together: stores, keys, snapshots, use cases and background tasks.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::TimeDelta;
use tidegate_api::{Api, MetricsPage, PollLog, RequestMetrics, tell_left_out_polls};
use tidegate_artifacts as artifacts;
use tidegate_dashboard::Dashboard;
use tidegate_service::{
    ActivityBuffer, AdminTokens, Adoption, Audiences, AuditLog, Authenticator, Builds, Calendars, Clerk,
    Clock, Counters, DatabaseClock, Devices, DownloadSlots, Downloads, Examiner, Experiments, Fleet,
    Forecasts, Gates, MAX_COUNTED_DEVICES, MAX_FORECAST_FLEET, Nudges, Packages, PatchMaker, Patches,
    Policies, PollPace, Polls, Readiness, RecordSecret, Reports, Restorations, Retention, Rollouts, Servers,
    ServiceAccounts, Settings, Snapshots, SystemClock, Tags, Uploads, Users, Witness, background,
};
use tidegate_signing::KeyRing;
use tidegate_storage::Store;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::metrics::{Metrics, Sources};
use crate::nudging::Nudging;
use crate::{Config, Error, keys};

/// The file of an upload that was not written to for this long is removed: its process is gone.
pub const STALE_UPLOAD: Duration = Duration::from_secs(3600);

/// How long the last reports, counters and outcomes of nudges may take to be written when the server stops. It is longer
/// than the default of `fcm_timeout`.
pub const FLUSH_LIMIT: Duration = Duration::from_secs(15);

/// What is opened before a port is bound. Settings that cannot work are found here.
pub(crate) struct Stores {
    pub(crate) store: Store,
    pub(crate) artifacts: artifacts::Store,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) nudging: Option<Nudging>,
    pub(crate) record: Arc<RecordSecret>,
    pub(crate) witness: Option<Witness>,
}

impl Stores {
    /// As [`Stores::open`], for a command beside a server: what `serve` has not made is not made here, unless `init` says
    /// so. Whoever stands in the wrong folder is to hear of it, and not to get a key and a database that nobody serves.
    pub(crate) async fn open_made(config: &Config, init: bool) -> Result<Self, Error> {
        if !init {
            let lacks = |what: String| {
                let fault = format!(
                    "{what}, so no server was started with these settings: stand in its folder or name its settings \
                     (--config FILE, TIDEGATE_*), or say --init before the first start"
                );
                Error::unusable("data_dir")(&fault)
            };
            if let Some(missing) = keys::missing(config) {
                return Err(lacks(format!("there is no key at {}", missing.display())));
            }
            let made = Store::is_made(&config.database).await;
            if !made.map_err(|fault| Error::unusable("database_url")(&fault))? {
                return Err(lacks("the database is empty or not there".to_owned()));
            }
        }
        Self::open(config).await
    }

    /// Opens the database, bringing its tables up to date, and the artifact store.
    pub(crate) async fn open(config: &Config) -> Result<Self, Error> {
        keys::create_folder(&config.data_dir)?;
        let keys = Arc::new(keys::key_ring(config)?);
        let staging = config.data_dir.join("staging");
        let artifacts = artifacts::Store::open(&config.artifact_store, &staging, &config.s3)
            .map_err(|fault| Error::unusable("artifact_store")(&fault))?
            .with_headroom(config.database.reserve_bytes);
        warn_of_plain_text(config);
        let nudging = Nudging::open(&config.fcm)?;
        let witness = config
            .audit_witness
            .as_deref()
            .map(|place| open_witness(config, place));
        let witness = witness.transpose()?;
        let store = open_database(config).await?;
        Ok(Self {
            nudging,
            record: open_record(&store, &keys).await?,
            store,
            artifacts,
            keys,
            witness,
        })
    }
}

/// The audit log's witness at this place.
pub(crate) fn open_witness(config: &Config, place: &str) -> Result<Witness, Error> {
    Witness::open(place, &config.s3).map_err(|fault| Error::unusable("audit_witness")(&fault))
}

/// Opens the record with the master key, or begins it.
pub(crate) async fn open_record(store: &Store, keys: &KeyRing) -> Result<Arc<RecordSecret>, Error> {
    let opened = tidegate_service::open_record(store, keys, SystemClock.now()).await;
    opened.map_err(|fault| match fault.code {
        "record_closed" => Error::unusable("master_key")(&fault),
        "record_tampered" => Error::unusable("database_url")(&fault),
        _ => fault.into(),
    })
}

/// What an operator has allowed may still surprise the next one.
fn warn_of_plain_text(config: &Config) {
    let endpoint = config.s3.endpoint.as_deref().unwrap_or_default();
    if config.s3.allow_http && endpoint.starts_with("http:") {
        tracing::warn!(
            endpoint,
            "s3_allow_http: APK files cross the network in plain text"
        );
    }
    if config.database.plaintext && config.database.url.starts_with("postgres") {
        tracing::warn!("database_plaintext: what the database is told may cross the network in plain text");
    }
}

/// Opens the database alone. The data folder must exist when the database is in it.
pub(crate) async fn open_database(config: &Config) -> Result<Store, Error> {
    Store::open(&config.database)
        .await
        .map_err(|fault| Error::unusable("database_url")(&fault))
}

/// The clock of a server, and of a command beside one: the database's, once that was asked.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(DatabaseClock::<SystemClock>::default())
}

/// The settings of the use cases.
pub(crate) fn settings(config: &Config, public_url: &str) -> Settings {
    Settings {
        public_url: public_url.to_owned(),
        poll_interval: config.poll_interval,
        download_url_ttl: TimeDelta::from_std(config.download_url_ttl).unwrap_or(TimeDelta::MAX),
        fleet_min_sdk: config.fleet_min_sdk,
        max_upload_bytes: config.max_upload_bytes,
        max_concurrent_uploads: config.max_concurrent_uploads,
        min_upload_rate: config.min_upload_rate,
        retention: config.retention,
    }
}

/// Makes the use cases and starts the background tasks.
pub(crate) async fn wire(
    stores: Stores,
    config: &Config,
    settings: Settings,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
) -> Result<(Arc<Api>, Dashboard, BackgroundTasks), Error> {
    let Stores {
        store,
        artifacts,
        keys,
        nudging,
        record,
        witness,
    } = stores;
    let public_url = settings.public_url.clone();
    let servers = Arc::new(Servers::new(store.clone()));
    let settings = Arc::new(settings);
    let snapshots = Arc::new(Snapshots::load_for_polls(store.clone(), Arc::clone(&clock)).await?);
    let activity = Arc::new(ActivityBuffer::new(
        tokio::runtime::Handle::current().metrics().num_workers(),
    ));
    let counters = Arc::<Counters>::default();
    let request_metrics = Arc::new(RequestMetrics::new(config.metrics));
    let (reports, writer) = Reports::new(
        store.clone(),
        Arc::clone(&snapshots),
        Arc::clone(&activity),
        Arc::clone(&keys),
        Arc::clone(&counters),
        Arc::clone(&clock),
    );
    let fleet = Arc::new(Fleet::new(store.clone(), Arc::clone(&clock)));
    let policies = Arc::new(Policies::new(
        store.clone(),
        Arc::clone(&snapshots),
        Arc::clone(&clock),
    ));
    let pace = Arc::new(PollPace::new(config.max_polls_per_second, config.poll_interval));
    let slots = Arc::new(DownloadSlots::new(config.max_concurrent_downloads));
    let metrics = page(
        config,
        Sources {
            store: store.clone(),
            snapshots: Arc::clone(&snapshots),
            activity: Arc::clone(&activity),
            reports: reports.queue(),
            counts: Arc::clone(&counters),
            request_metrics: Arc::clone(&request_metrics),
            adoption: Adoption::new(store.clone(), Arc::clone(&snapshots), Arc::clone(&fleet)),
            fleet: Arc::clone(&fleet),
            pace: Arc::clone(&pace),
            slots: Arc::clone(&slots),
            clock: Arc::clone(&clock),
            policies: Arc::clone(&policies),
            rotating: config.rotation_key.is_some(),
        },
    )?;
    let authenticator = Arc::new(Authenticator::new(
        Arc::clone(&keys),
        Arc::clone(&snapshots),
        Arc::clone(&clock),
    ));
    let wake = nudging.as_ref().map(Nudging::wake);
    let sending = nudging.map(|nudging| {
        Sending::start(|stop| {
            nudging.start(
                store.clone(),
                Arc::clone(&keys),
                Arc::clone(&clock),
                Arc::clone(&counters),
                stop,
            )
        })
    });
    let poll_log = Arc::new(PollLog::at_most(config.log_polls_per_second));
    let stop = CancellationToken::new();
    let flush = background::flush(Arc::clone(&activity), store.clone(), stop.clone());
    let tell = tell_left_out_polls(Arc::clone(&poll_log), stop.clone());
    let announce = background::announce(store.clone(), Arc::clone(&clock), stop.clone());
    let uses = background::note_token_uses(Arc::clone(&authenticator), store.clone(), stop.clone());
    let told = witness
        .map(|witness| background::witness(store.clone(), record, witness, Arc::clone(&clock), stop.clone()));
    let clerk = Clerk::new(
        store.clone(),
        Arc::clone(&snapshots),
        Arc::clone(&clock),
        wake.clone(),
    )
    .judging(Gates::new(
        store.clone(),
        Arc::clone(&snapshots),
        Arc::clone(&fleet),
        config.poll_interval,
    ));
    let patches = Arc::new(Patches::new(
        store.clone(),
        Arc::clone(&snapshots),
        Arc::clone(&fleet),
    ));
    let patch_maker = PatchMaker::new(
        store.clone(),
        artifacts.clone(),
        Arc::clone(&snapshots),
        Arc::clone(&fleet),
        Arc::clone(&counters),
        config.patches,
    );
    let examiner = Examiner::new(store.clone(), artifacts.clone(), settings.fleet_min_sdk);
    let retention = Retention::new(
        store.clone(),
        Arc::clone(&clock),
        Arc::clone(&counters),
        settings.retention,
    );
    let background_tasks = BackgroundTasks::new(stop.clone(), sending)
        .writing("reports", writer.run())
        .writing("poll counters", flush)
        .writing("left-out polls", tell)
        .writing("the list of servers", announce)
        .writing("tokens' uses", uses)
        .writing("plans", clerk.run(stop.clone()))
        .writing("patches", patch_maker.run(stop.clone()))
        .running(background::follow(Arc::clone(&snapshots), stop.clone()))
        .running(background::follow_tags(Arc::clone(&snapshots), stop.clone()))
        .running(background::follow_gates(Arc::clone(&snapshots), stop.clone()))
        .running(background::sum_up_enrolments(
            store.clone(),
            Arc::clone(&clock),
            stop.clone(),
        ))
        .running(background::count(Arc::clone(&fleet), stop.clone()))
        .running(retention.run(stop.clone()))
        .running(sweep(artifacts.clone()))
        .running(examiner.run(stop));
    let background_tasks = match told {
        Some(told) => background_tasks.writing("the audit log's witness", told),
        None => background_tasks,
    };
    let tokens = Arc::new(AdminTokens::new(
        store.clone(),
        Arc::clone(&snapshots),
        Arc::clone(&keys),
        Arc::clone(&clock),
    ));
    let restorations = Arc::new(Restorations::new(
        store.clone(),
        Arc::clone(&snapshots),
        Arc::clone(&clock),
    ));
    let rollouts = Arc::new(Rollouts::new(
        store.clone(),
        artifacts.clone(),
        Arc::clone(&snapshots),
        Arc::clone(&clock),
    ));
    let api = Api {
        polls: Arc::new(
            Polls::new(
                Arc::clone(&snapshots),
                activity,
                Arc::clone(&keys),
                Arc::clone(&clock),
                Arc::clone(&settings),
            )
            .paced(pace),
        ),
        devices: Arc::new(Devices::new(
            store.clone(),
            Arc::clone(&snapshots),
            Arc::clone(&keys),
            Arc::clone(&clock),
            Arc::clone(&settings),
        )),
        downloads: Arc::new(
            Downloads::new(
                store.clone(),
                artifacts.clone(),
                Arc::clone(&snapshots),
                Arc::clone(&keys),
                Arc::clone(&authenticator),
                reports.clone(),
                Arc::clone(&clock),
            )
            .redirecting(config.download_redirect)
            .limited(slots),
        ),
        uploads: Arc::new(Uploads::new(
            store.clone(),
            artifacts.clone(),
            Arc::clone(&snapshots),
            Arc::clone(&clock),
            settings,
            counters,
        )),
        users: Arc::new(Users::new(
            store.clone(),
            Arc::clone(&snapshots),
            keys,
            Arc::clone(&clock),
        )),
        service_accounts: Arc::new(ServiceAccounts::new(Arc::clone(&tokens))),
        tokens,
        nudges: Arc::new(Nudges::new(
            store.clone(),
            Arc::clone(&snapshots),
            Arc::clone(&clock),
            wake,
        )),
        audiences: Arc::new(Audiences::new(
            store.clone(),
            Arc::clone(&clock),
            MAX_COUNTED_DEVICES,
        )),
        patches,
        packages: Arc::new(Packages::new(store.clone(), Arc::clone(&clock))),
        policies,
        calendars: Arc::new(Calendars::new(
            store.clone(),
            Arc::clone(&snapshots),
            Arc::clone(&clock),
        )),
        tags: Arc::new(Tags::new(
            store.clone(),
            Arc::clone(&snapshots),
            Arc::clone(&clock),
        )),
        fleet: Arc::clone(&fleet),
        experiments: Arc::new(Experiments::new(
            store.clone(),
            Arc::clone(&rollouts),
            Arc::clone(&snapshots),
            Arc::clone(&fleet),
            Arc::clone(&clock),
        )),
        forecasts: Arc::new(Forecasts::new(
            Arc::clone(&rollouts),
            config.poll_interval,
            MAX_FORECAST_FLEET,
        )),
        rollouts,
        builds: Arc::new(Builds::new(store.clone(), snapshots, Arc::clone(&clock))),
        audit: Arc::new(AuditLog::new(store.clone(), Arc::clone(&clock))),
        readiness: Arc::new(Readiness::new(store, artifacts)),
        authenticator,
        reports: Arc::new(reports),
        request_metrics,
        metrics,
        poll_log,
        stopping,
    };
    let dashboard = dashboard(&api, fleet, restorations, clock, config, public_url, servers);
    Ok((Arc::new(api), dashboard, background_tasks))
}

/// The operator's page calls the same use cases as the API.
fn dashboard(
    api: &Api,
    fleet: Arc<Fleet>,
    restorations: Arc<Restorations>,
    clock: Arc<dyn Clock>,
    config: &Config,
    public_url: String,
    servers: Arc<Servers>,
) -> Dashboard {
    Dashboard {
        authenticator: Arc::clone(&api.authenticator),
        users: Arc::clone(&api.users),
        builds: Arc::clone(&api.builds),
        patches: Arc::clone(&api.patches),
        uploads: Arc::clone(&api.uploads),
        downloads: Arc::clone(&api.downloads),
        audiences: Arc::clone(&api.audiences),
        forecasts: Arc::clone(&api.forecasts),
        rollouts: Arc::clone(&api.rollouts),
        packages: Arc::clone(&api.packages),
        devices: Arc::clone(&api.devices),
        policies: Arc::clone(&api.policies),
        tags: Arc::clone(&api.tags),
        nudges: Arc::clone(&api.nudges),
        audit: Arc::clone(&api.audit),
        service_accounts: Arc::clone(&api.service_accounts),
        tokens: Arc::clone(&api.tokens),
        servers,
        readiness: Arc::clone(&api.readiness),
        calendars: Arc::clone(&api.calendars),
        settings: config.to_string(),
        public_url,
        fleet,
        restorations,
        clock,
    }
}

/// The metrics page, unless it is switched off.
fn page(config: &Config, sources: Sources) -> Result<Option<Arc<dyn MetricsPage>>, Error> {
    if !config.metrics {
        return Ok(None);
    }
    let page: Arc<dyn MetricsPage> = Arc::new(Metrics::new(sources)?);
    Ok(Some(page))
}

/// The tasks that run beside the requests. Dropped, they stop without writing what is left.
pub(crate) struct BackgroundTasks {
    stop: CancellationToken,
    _stop_when_dropped: DropGuard,
    /// They have nothing to write at the end, and are broken off.
    running: Vec<JoinHandle<()>>,
    /// They end by themselves once they are stopped, with what they write last. The name is for the log.
    writing: Vec<(&'static str, JoinHandle<()>)>,
    sending: Option<Sending>,
}

/// The sender of nudges, which stops before all else.
struct Sending {
    stop: CancellationToken,
    _stop_when_dropped: DropGuard,
    sender: JoinHandle<()>,
}

impl Sending {
    fn start(start: impl FnOnce(CancellationToken) -> JoinHandle<()>) -> Self {
        let stop = CancellationToken::new();
        Self {
            sender: start(stop.clone()),
            _stop_when_dropped: stop.clone().drop_guard(),
            stop,
        }
    }
}

impl BackgroundTasks {
    /// `stop` ends the tasks that are added.
    fn new(stop: CancellationToken, sending: Option<Sending>) -> Self {
        Self {
            _stop_when_dropped: stop.clone().drop_guard(),
            stop,
            running: Vec::new(),
            writing: Vec::new(),
            sending,
        }
    }

    fn running(mut self, task: impl Future<Output = ()> + Send + 'static) -> Self {
        self.running.push(tokio::spawn(task));
        self
    }

    fn writing(mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> Self {
        self.writing.push((name, tokio::spawn(task)));
        self
    }

    /// Sends no more nudges; what is under way is finished.
    pub(crate) fn stop_sending(&self) {
        if let Some(sending) = &self.sending {
            sending.stop.cancel();
        }
    }

    /// Writes what is left. Every [`Reports`] must have been dropped before, as the writer ends with the last of them.
    pub(crate) async fn finish(self) {
        self.stop_sending();
        for task in &self.running {
            task.abort();
        }
        self.stop.cancel();
        let rest = async {
            let nudges = self.sending.map(|sending| ("nudges", sending.sender));
            for (name, task) in self.writing.into_iter().chain(nudges) {
                if let Err(error) = task.await {
                    tracing::error!(%error, "the writer of {name} failed");
                }
            }
        };
        if tokio::time::timeout(FLUSH_LIMIT, rest).await.is_err() {
            tracing::error!("the last reports, poll counters and nudges could not be written in time");
        }
    }
}

/// Removes what killed processes left of uploads, at the start and every now and then.
async fn sweep(artifacts: artifacts::Store) {
    let mut now_and_then = tokio::time::interval(STALE_UPLOAD);
    loop {
        now_and_then.tick().await;
        #[allow(clippy::disallowed_methods, reason = "files are dated by the system")]
        let Some(before) = SystemTime::now().checked_sub(STALE_UPLOAD) else {
            return;
        };
        match artifacts.sweep_staging(before).await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "removed what was left of uploads that were broken off"),
            Err(error) => tracing::warn!(%error, "what was left of uploads could not be removed"),
        }
    }
}
