//! Makes patches, one at a time, on a thread of low priority.
//!
//! Which are wanted is looked at by one server at a time. Each patch is made by one server: it holds a lease on it, which
//! it prolongs while it works, and another one takes over when it is lost. What is made twice all the same is the same
//! file.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_artifacts as artifacts;
use tidegate_delta as delta;
use tidegate_domain::{MAX_PATCH_PERCENT, PackageName, Sha256};
use tidegate_storage::{MAX_PATCH_ATTEMPTS, PatchEnd, PatchJob, Store};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::fetching::{Fault, fetch};
use super::planning::{PatchSettings, Planner, Reached};
use crate::background::Rhythm;
use crate::{Counters, Error, Fleet, Snapshots};

/// How often it is looked whether something is to be made.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked at least which patches are wanted; at once when the catalog changes.
const PLAN_EVERY: Duration = Duration::from_secs(10);

/// How long a lease lasts without being prolonged: another server takes over so long after this one was killed.
const LEASE: Duration = Duration::from_secs(20);

/// Who holds this lease looks which patches are wanted.
const PLANNING: &str = "patches";

/// How long a failed patch waits for its second attempt; each further one waits four times as long.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// How much of a patch is handed on at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// The least priority, of 19: all else comes first.
#[cfg(target_os = "linux")]
const NICE: i32 = 19;

/// Makes patches.
pub struct PatchMaker {
    store: Store,
    artifacts: artifacts::Store,
    snapshots: Arc<Snapshots>,
    fleet: Arc<Fleet>,
    counters: Arc<Counters>,
    settings: PatchSettings,
    holder: String,
    lease: Duration,
    planned: Option<Planned>,
    reached: HashMap<PackageName, Reached>,
}

/// When, and of which catalog, it was last looked which patches are wanted.
struct Planned {
    at: Instant,
    catalog: i64,
}

impl PatchMaker {
    /// Over these stores, for the fleet as it is counted.
    pub fn new(
        store: Store,
        artifacts: artifacts::Store,
        snapshots: Arc<Snapshots>,
        fleet: Arc<Fleet>,
        counters: Arc<Counters>,
        settings: PatchSettings,
    ) -> Self {
        Self {
            store,
            artifacts,
            snapshots,
            fleet,
            counters,
            settings,
            holder: uuid::Uuid::new_v4().to_string(),
            lease: LEASE,
            planned: None,
            reached: HashMap::new(),
        }
    }

    /// Looks until `stop` is canceled. What is being made then is left to another server, or to the next start.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut rhythm = Rhythm::of(LOOK_EVERY, stop.clone());
        while rhythm.goes_on().await {
            while self.looks(&stop).await && !stop.is_cancelled() {}
        }
        self.leave().await;
    }

    /// Whether there may be more to make.
    async fn looks(&mut self, stop: &CancellationToken) -> bool {
        match self.look(stop).await {
            Ok(has_made) => has_made,
            Err(error) => {
                tracing::warn!(%error, "patches could not be looked after");
                false
            }
        }
    }

    /// Lets another server look which patches are wanted.
    pub async fn leave(&self) {
        if let Err(error) = self.store.give_lease_back(PLANNING, &self.holder).await {
            tracing::warn!(%error, "the lease on patches could not be given back");
        }
    }

    /// Plans when it is time to, and makes one patch if one waits. Returns whether it was begun.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub async fn look(&mut self, stop: &CancellationToken) -> Result<bool, Error> {
        self.plan().await?;
        if !self.store.patches_wait().await? {
            return Ok(false);
        }
        let Some(job) = self.store.claim_patch(&self.holder, self.lease).await? else {
            return Ok(false);
        };
        let end = self.make(&job, stop).await;
        tell(&job, &end);
        if let PatchEnd::Made { took, .. } | PatchEnd::TooLarge { took, .. } = &end {
            self.counters.made_patch(*took);
        }
        let (build, base) = (job.build.id, job.base.id);
        if !self.store.end_patch(build, base, &self.holder, end).await? {
            tracing::warn!(
                build_id = build.0,
                base_build_id = base.0,
                "a patch was taken over by another server"
            );
        }
        self.snapshots.follow_own_change().await;
        Ok(true)
    }

    #[allow(clippy::disallowed_methods, reason = "how long it really is ago")]
    async fn plan(&mut self) -> Result<(), Error> {
        let catalog = self.snapshots.catalog_version();
        let is_due = |planned: &Planned| planned.catalog != catalog || planned.at.elapsed() >= PLAN_EVERY;
        if !self.planned.as_ref().is_none_or(is_due) {
            return Ok(());
        }
        self.planned = Some(Planned {
            at: Instant::now(),
            catalog,
        });
        let lasts = PLAN_EVERY * 2;
        if !self.store.take_lease(PLANNING, &self.holder, lasts).await? {
            return Ok(());
        }
        let mut planner = Planner {
            store: &self.store,
            artifacts: &self.artifacts,
            snapshots: &self.snapshots,
            fleet: &self.fleet,
            settings: &self.settings,
            reached: &mut self.reached,
        };
        if planner.plan().await? {
            self.snapshots.follow_own_change().await;
        }
        Ok(())
    }

    /// Makes a patch while the lease can be prolonged. Whatever happens has an end that can be noted.
    #[allow(clippy::disallowed_methods, reason = "how long it really takes")]
    async fn make(&self, job: &PatchJob, stop: &CancellationToken) -> PatchEnd {
        let begun = Instant::now();
        let made = tokio::select! {
            made = self.made_file(job) => made,
            reason = self.hold(job) => Err(reason),
            () = stop.cancelled() => return PatchEnd::GivenBack,
        };
        let took = begun.elapsed();
        match made {
            Ok((size, Some(sha256))) => PatchEnd::Made { size, sha256, took },
            Ok((size, None)) => PatchEnd::TooLarge { size, took },
            Err(fault) => failed(job, &fault),
        }
    }

    /// Prolongs the lease for as long as that goes, and says why it goes no longer.
    async fn hold(&self, job: &PatchJob) -> Fault {
        loop {
            tokio::time::sleep(self.lease / 4).await;
            let (build, base) = (job.build.id, job.base.id);
            match self
                .store
                .renew_patch(build, base, &self.holder, self.lease)
                .await
            {
                Ok(true) => {}
                Ok(false) => return "another server has taken it over".into(),
                Err(error) => tracing::warn!(%error, "the lease on a patch could not be prolonged"),
            }
        }
    }

    /// The patch's size, and its name in the artifact store unless it is not worth its trouble.
    async fn made_file(&self, job: &PatchJob) -> Result<(u64, Option<Sha256>), Fault> {
        let full = job.build.facts.size;
        let base = fetch(&self.artifacts, &job.base).await?;
        let result = fetch(&self.artifacts, &job.build).await?;
        let most = full.saturating_mul(MAX_PATCH_PERCENT) / 100;
        let mut staging = self.artifacts.stage(most).await?;
        let files = (File::open(base.path())?, File::open(result.path())?);
        let memory = self.settings.memory;
        let (chunks, mut incoming) = mpsc::channel(4);
        let making = Making::begin(move |goes_on| make_into(&files, Outgoing(chunks), memory, goes_on))?;
        let mut written = 0;
        while let Some(bytes) = incoming.recv().await {
            written += bytes.len() as u64;
            if written <= most {
                staging.write(bytes).await?;
            }
        }
        let made = making.end().await?;
        if made.patch_size > most {
            return Ok((made.patch_size, None));
        }
        let staged = staging.finish().await?;
        if staged.size() != made.patch_size || made.result_sha256 != job.build.facts.sha256.0 {
            return Err("the patch is not what it was said to be".into());
        }
        let blob = self.artifacts.commit(staged).await?;
        Ok((blob.size, Some(Sha256(blob.sha256))))
    }
}

/// Work on a thread of its own, which is told to stop when this is dropped.
struct Making {
    goes_on: Arc<AtomicBool>,
    made: oneshot::Receiver<Result<delta::Made, delta::Error>>,
}

impl Making {
    fn begin(
        make: impl FnOnce(&AtomicBool) -> Result<delta::Made, delta::Error> + Send + 'static,
    ) -> io::Result<Self> {
        let goes_on = Arc::new(AtomicBool::new(true));
        let (reply, made) = oneshot::channel();
        let heard = Arc::clone(&goes_on);
        std::thread::Builder::new()
            .name("patches".to_owned())
            .spawn(move || {
                yield_to_others();
                // Whoever waited may have gone.
                let _ = reply.send(make(&heard));
            })?;
        Ok(Self { goes_on, made })
    }

    async fn end(mut self) -> Result<delta::Made, Fault> {
        let made = (&mut self.made).await;
        Ok(made.map_err(|_| "the thread that made it has failed")??)
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.goes_on.store(false, Ordering::Relaxed);
    }
}

fn make_into(
    (base, result): &(File, File),
    mut out: Outgoing,
    memory: u64,
    goes_on: &AtomicBool,
) -> Result<delta::Made, delta::Error> {
    let mut listener = |_: delta::Progress| match goes_on.load(Ordering::Relaxed) {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    };
    let settings = delta::Settings { memory };
    delta::make(base, result, &mut out, settings, &mut listener)
}

/// Has this thread run when nobody else wants to. On Linux a priority is a thread's own.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "patches are made at the usual priority");
    }
}

/// Hands a patch on as it is written.
struct Outgoing(mpsc::Sender<Bytes>);

impl io::Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK);
        let chunk = Bytes::copy_from_slice(&bytes[..taken]);
        let sent = self.0.blocking_send(chunk);
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed(job: &PatchJob, fault: &Fault) -> PatchEnd {
    // The same files want the same memory next time.
    let is_final = matches!(
        fault.downcast_ref::<delta::Error>(),
        Some(delta::Error::TooLarge { .. })
    );
    let again = job.attempts < MAX_PATCH_ATTEMPTS && !is_final;
    PatchEnd::Failed {
        reason: fault.to_string(),
        retry_after: again.then(|| RETRY_AFTER * 4_u32.saturating_pow(job.attempts.saturating_sub(1).min(8))),
    }
}

fn tell(job: &PatchJob, end: &PatchEnd) {
    let (package, build, base) = (&job.build.facts.package, job.build.id.0, job.base.id.0);
    match end {
        PatchEnd::Made { size, took, .. } => tracing::info!(
            event = "ota.patch.made", package_name = %package, build_id = build, base_build_id = base,
            bytes = size, full_bytes = job.build.facts.size, seconds = took.as_secs_f64(),
        ),
        PatchEnd::TooLarge { size, took } => tracing::info!(
            event = "ota.patch.too_large", package_name = %package, build_id = build, base_build_id = base,
            bytes = size, full_bytes = job.build.facts.size, seconds = took.as_secs_f64(),
        ),
        PatchEnd::Failed { reason, .. } => tracing::warn!(
            event = "ota.patch.failed", package_name = %package, build_id = build, base_build_id = base,
            attempt = job.attempts, reason,
        ),
        PatchEnd::GivenBack => tracing::debug!(
            build_id = build,
            base_build_id = base,
            "a patch is left to others"
        ),
    }
}
