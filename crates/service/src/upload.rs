//! Taking a build in: streamed to a staging file, hashed on the way, read, judged, and only then kept.

use std::sync::Arc;

use bytes::Bytes;
use chrono::Utc;
use tidegate_artifacts as artifacts;
use tidegate_domain::{Build, BuildFacts, Origin, Role, Sha256};
use tidegate_storage::{AuditNote, Store};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::{Actor, Clock, Error, Kind, Settings, apk_facts};

/// The longest release notes, in bytes.
pub const MAX_NOTES_BYTES: usize = 64 * 1024;

/// The longest of the other texts that come with an upload, in bytes.
pub const MAX_ORIGIN_BYTES: usize = 256;

/// Takes builds in.
pub struct Uploads {
    store: Store,
    artifacts: artifacts::Store,
    clock: Arc<dyn Clock>,
    settings: Arc<Settings>,
    places: Arc<Semaphore>,
    /// Held while a file is kept and its row written, so that one upload's cleaning up can't take the file of
    /// another upload of the same bytes.
    keeping: Mutex<()>,
}

/// What the uploader says of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadNotes {
    /// Release notes.
    pub notes: String,
    /// Kind of build.
    pub build_type: String,
    /// The CI run that made it.
    pub ci_run_id: String,
    /// The commit that it was made from.
    pub git_sha: String,
}

/// An upload under way. Dropped before it is finished, it leaves nothing behind.
pub struct Upload {
    actor: Actor,
    staging: artifacts::Staging,
    place: OwnedSemaphorePermit,
}

impl Upload {
    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// [`Kind::TooLarge`] beyond the limit, [`Kind::Unavailable`] when the disk fails.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.staging.write(bytes).await.map_err(Error::from)
    }
}

impl Uploads {
    /// Into this database and artifact store.
    pub fn new(
        store: Store,
        artifacts: artifacts::Store,
        clock: Arc<dyn Clock>,
        settings: Arc<Settings>,
    ) -> Self {
        let places = Arc::new(Semaphore::new(settings.max_concurrent_uploads));
        Self {
            store,
            artifacts,
            clock,
            settings,
            places,
            keeping: Mutex::new(()),
        }
    }

    /// Begins an upload.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] below the role operator, [`Kind::Exhausted`] when too many are under way.
    pub async fn begin(&self, actor: &Actor) -> Result<Upload, Error> {
        actor.require(Role::Operator)?;
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let message = format!(
                "{} uploads are under way, which is as many as the server takes; try again in a minute",
                self.settings.max_concurrent_uploads
            );
            Error::new(Kind::Exhausted, "too_many_uploads", message)
        })?;
        let staging = self.artifacts.stage(self.settings.max_upload_bytes).await?;
        Ok(Upload {
            actor: actor.clone(),
            staging,
            place,
        })
    }

    /// Ends an upload: reads the file, judges it, keeps it and registers the build.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for over-long notes; [`Kind::Refused`] for a file that is not an APK to be trusted;
    /// [`Kind::Conflict`] for a version that exists or a signer that is not the package's.
    pub async fn finish(&self, upload: Upload, notes: UploadNotes) -> Result<Build, Error> {
        notes.check()?;
        let Upload {
            actor,
            staging,
            place,
        } = upload;
        let staged = staging.finish().await?;
        let facts = read_facts(&staged).await?;
        let origin = Origin {
            notes: notes.notes,
            build_type: notes.build_type,
            ci_run_id: notes.ci_run_id,
            git_sha: notes.git_sha,
            uploaded_by: actor.subject.clone(),
            uploaded_at: self.clock.now(),
        };
        let build = self.keep(staged, facts, origin, &actor).await?;
        drop(place);
        tracing::info!(
            event = "ota.upload",
            actor = actor.subject,
            package_name = %build.facts.package,
            build_id = build.id.0,
            version_code = build.facts.version_code.get(),
            sha256 = %build.facts.sha256,
            file_size = build.facts.size,
        );
        Ok(build)
    }

    async fn keep(
        &self,
        staged: artifacts::Staged,
        facts: BuildFacts,
        origin: Origin,
        actor: &Actor,
    ) -> Result<Build, Error> {
        let _keeping = self.keeping.lock().await;
        let sha256 = facts.sha256;
        self.artifacts.commit(staged).await?;
        let note = AuditNote {
            after: Some(serde_json::json!({
                "version_code": facts.version_code,
                "version_name": facts.version_name,
                "sha256": facts.sha256,
                "file_size": facts.size,
            })),
            ..actor
                .on_record(self.clock.now())
                .note("ota.upload", format!("package/{}", facts.package))
        };
        match self.store.insert_build(facts, origin, note).await {
            Ok(build) => Ok(build),
            Err(error) => {
                self.discard(&sha256).await;
                Err(error.into())
            }
        }
    }

    /// Removes a file whose build could not be registered, unless another build is made of the same bytes.
    async fn discard(&self, sha256: &Sha256) {
        match self.store.blob_in_use(*sha256).await {
            Ok(true) => {}
            Ok(false) => {
                if let Err(error) = self.artifacts.remove(&sha256.0).await {
                    tracing::warn!(%sha256, %error, "a refused upload's file could not be removed");
                }
            }
            Err(error) => tracing::warn!(%sha256, %error, "a refused upload's file was left in place"),
        }
    }

    /// Removes what uploads that never ended left behind.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when the disk fails.
    pub async fn sweep(&self) -> Result<usize, Error> {
        let a_day_ago = self.clock.now() - chrono::TimeDelta::days(1);
        self.artifacts
            .sweep_staging(chrono::DateTime::<Utc>::into(a_day_ago))
            .await
            .map_err(Error::from)
    }
}

impl UploadNotes {
    fn check(&self) -> Result<(), Error> {
        let bounds = [
            ("notes", &self.notes, MAX_NOTES_BYTES),
            ("build_type", &self.build_type, MAX_ORIGIN_BYTES),
            ("ci_run_id", &self.ci_run_id, MAX_ORIGIN_BYTES),
            ("git_sha", &self.git_sha, MAX_ORIGIN_BYTES),
        ];
        for (field, text, limit) in bounds {
            if text.len() > limit {
                return Err(Error::invalid(field, format!("is longer than {limit} bytes")));
            }
        }
        Ok(())
    }
}

/// Reading an APK is disk and CPU work, so it leaves the runtime's threads alone.
async fn read_facts(staged: &artifacts::Staged) -> Result<BuildFacts, Error> {
    let (path, sha256, size) = (staged.path().to_owned(), Sha256(*staged.sha256()), staged.size());
    tokio::task::spawn_blocking(move || apk_facts::read(&path, sha256, size))
        .await
        .map_err(|fault| Error::internal("reading an upload", &fault))?
}
