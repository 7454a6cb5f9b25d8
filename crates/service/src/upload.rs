//! Taking a build in: streamed to a staging file, hashed on the way, read, judged, and only then kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_artifacts as artifacts;
use tidegate_domain::{Build, BuildFacts, BuildId, Provenance, Role, Sha256, Signers, Verb};
use tidegate_storage::{self as storage, AuditNote, Deleted, Store};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::apk_facts::{self, Judged};
use crate::{
    Actor, Builds, Clock, Counters, Error, Kind, Settings, Snapshots, UpdateFindings, UploadPace,
    signer_policy,
};

/// The longest release notes, in bytes.
pub const MAX_NOTES_BYTES: usize = 64 * 1024;

/// The longest of the other texts that come with an upload, in bytes.
pub const MAX_ORIGIN_BYTES: usize = 256;

/// What a form may have beside its file, in bytes: the texts, and what frames the parts.
const MAX_FORM_BYTES: u64 = 1024 * 1024;

/// When to come again while all places for uploads are taken.
const UPLOAD_PAUSE: Duration = Duration::from_secs(30);

/// Takes builds in.
pub struct Uploads {
    intake: Arc<Intake>,
    places: Arc<Semaphore>,
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

/// What became of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// The build.
    pub build: Build,
    /// Whether it was there before, made of the same bytes: then the upload changed nothing.
    pub existed: bool,
    /// What devices that run the package's current build hold against it. Not kept with the build: another one may be
    /// current tomorrow.
    pub against_current: Option<UpdateFindings>,
}

/// An upload under way. Dropped before it is finished, it leaves nothing behind.
pub struct Upload {
    actor: Actor,
    staging: artifacts::Staging,
    counters: Arc<Counters>,
    place: OwnedSemaphorePermit,
}

impl Upload {
    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// [`Kind::TooLarge`] beyond the limit, [`Kind::Unavailable`] when the disk fails.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.counters.uploaded(bytes.len());
        self.staging.write(bytes).await.map_err(Error::from)
    }
}

impl Uploads {
    /// Into this database and artifact store.
    pub fn new(
        store: Store,
        artifacts: artifacts::Store,
        snapshots: Arc<Snapshots>,
        clock: Arc<dyn Clock>,
        settings: Arc<Settings>,
        counters: Arc<Counters>,
    ) -> Self {
        let places = Arc::new(Semaphore::new(settings.max_concurrent_uploads));
        let builds = Builds::new(store.clone(), Arc::clone(&snapshots), Arc::clone(&clock));
        let intake = Intake {
            store,
            builds,
            artifacts,
            snapshots,
            clock,
            settings,
            counters,
            keeping: Mutex::new(()),
        };
        Self {
            intake: Arc::new(intake),
            places,
        }
    }

    /// Refuses a form of so many bytes when its file must be larger than the limit, before any of it is read.
    ///
    /// # Errors
    /// [`Kind::TooLarge`].
    pub fn check_length(&self, bytes: u64) -> Result<(), Error> {
        let limit = self.intake.settings.max_upload_bytes;
        if bytes <= limit.saturating_add(MAX_FORM_BYTES) {
            return Ok(());
        }
        let message = format!("the form has {bytes} bytes, and a file may have {limit}");
        Err(Error::new(Kind::TooLarge, "too_large", message))
    }

    /// Begins an upload.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] below the role operator, [`Kind::Exhausted`] when too many are under way.
    pub async fn begin(&self, actor: &Actor) -> Result<Upload, Error> {
        actor.require_some(Role::Operator, Verb::Upload)?;
        let settings = &self.intake.settings;
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let message = format!(
                "{} uploads are under way, which is as many as the server takes; try again in {} seconds",
                settings.max_concurrent_uploads,
                UPLOAD_PAUSE.as_secs()
            );
            Error::new(Kind::Exhausted, "too_many_uploads", message).after(UPLOAD_PAUSE)
        })?;
        let staging = self.intake.artifacts.stage(settings.max_upload_bytes).await?;
        Ok(Upload {
            actor: actor.clone(),
            staging,
            counters: Arc::clone(&self.intake.counters),
            place,
        })
    }

    /// The pace at which an upload has to come.
    pub fn pace(&self) -> UploadPace {
        UploadPace::new(self.intake.settings.min_upload_rate)
    }

    /// Ends an upload: reads the file, judges it, keeps it and registers the build. Once begun, this goes through
    /// to its end even if the caller goes away, so that no file is kept without its build. The same file again is
    /// answered with the build that it became, notes and all.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for over-long notes; [`Kind::Refused`] for a file that is not an APK to be trusted, or that no
    /// device of the fleet installs;
    /// [`Kind::Exists`] for a version that another file has; [`Kind::Conflict`] for a signer that is not the package's.
    pub async fn finish(&self, upload: Upload, notes: UploadNotes) -> Result<Uploaded, Error> {
        notes.check()?;
        let intake = Arc::clone(&self.intake);
        tokio::spawn(async move { intake.finish(upload, notes).await })
            .await
            .map_err(|fault| Error::internal("finishing an upload", &fault))?
    }

    /// Deletes a build that serves nothing, and its file unless another build is made of the same bytes. Its version code
    /// is free again if the build never had a rollout. It stands beside the uploads because both keep the files and the
    /// builds in step. Once begun, this goes through to its end.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] below the role admin, [`Kind::NotFound`]; [`Kind::Conflict`] with `build_in_use` while a
    /// rollout offers it or would return to it, with `build_deleted` when it was before.
    pub async fn delete(&self, actor: &Actor, id: BuildId) -> Result<Deleted, Error> {
        actor.require(Role::Admin)?;
        let (intake, actor) = (Arc::clone(&self.intake), actor.clone());
        tokio::spawn(async move { intake.delete(&actor, id).await })
            .await
            .map_err(|fault| Error::internal("deleting a build", &fault))?
    }
}

struct Intake {
    store: Store,
    builds: Builds,
    artifacts: artifacts::Store,
    snapshots: Arc<Snapshots>,
    clock: Arc<dyn Clock>,
    settings: Arc<Settings>,
    counters: Arc<Counters>,
    /// Held while a file is kept and its row written, so that one upload's cleaning up can't take the file of
    /// another upload of the same bytes.
    keeping: Mutex<()>,
}

/// How a build goes on from its package's pin.
enum Follows {
    /// It carries the pinned signers, or is the first.
    Pin,
    /// It carries others that may follow them.
    Rotation { pinned: Signers, then: Signers },
}

impl Intake {
    async fn finish(&self, upload: Upload, notes: UploadNotes) -> Result<Uploaded, Error> {
        let Upload {
            actor,
            staging,
            place,
            ..
        } = upload;
        let staged = staging.finish().await?;
        let judged = self.judge(&staged).await?;
        actor.require_verb(Role::Operator, Verb::Upload, Some(&judged.facts.package))?;
        let follows = self.follow(&judged).await?;
        let provenance = Provenance {
            notes: notes.notes,
            build_type: notes.build_type,
            ci_run_id: notes.ci_run_id,
            git_sha: notes.git_sha,
            uploaded_by: actor.subject.clone(),
            uploaded_at: self.clock.now(),
        };
        let (build, existed) = self.keep(staged, judged, provenance, follows, &actor).await?;
        drop(place);
        let against_current = self.against_current(build.id).await;
        if !existed {
            log(&build, &actor, against_current.as_ref());
        }
        Ok(Uploaded {
            build,
            existed,
            against_current,
        })
    }

    /// The build is taken in whether it can be compared or not.
    async fn against_current(&self, build: BuildId) -> Option<UpdateFindings> {
        match self.builds.against_current(build).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(build_id = build.0, %error, "an upload could not be compared with the current build");
                None
            }
        }
    }

    /// Reading an APK is disk and CPU work, so it leaves the runtime's threads alone.
    async fn judge(&self, staged: &artifacts::Staged) -> Result<Judged, Error> {
        let (path, sha256, size) = (staged.path().to_owned(), Sha256(*staged.sha256()), staged.size());
        let floor = self.settings.fleet_min_sdk;
        tokio::task::spawn_blocking(move || apk_facts::judge(&path, sha256, size, floor))
            .await
            .map_err(|fault| Error::internal("reading an upload", &fault))?
    }

    /// Whether the build may follow what its package had before.
    async fn follow(&self, judged: &Judged) -> Result<Follows, Error> {
        let facts = &judged.facts;
        if facts.version_code.get() == 0 {
            let message = "the APK has version code 0, which a device's poll can't tell from \"not installed\"; give it a \
                           version code of 1 or higher";
            return Err(Error::new(Kind::Refused, "version_code_zero", message));
        }
        let package = match self.store.package(&facts.package).await {
            Ok(package) => Some(package),
            Err(tidegate_storage::Error::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if facts.debuggable && !package.as_ref().is_some_and(|package| package.allow_debuggable) {
            let message = format!(
                "the APK is debuggable, so anybody with the device at hand can read the app's data; upload a release \
                 variant, or allow debuggable builds of {}",
                facts.package
            );
            return Err(Error::new(Kind::Refused, "debuggable", message));
        }
        match package.and_then(|package| package.pin) {
            Some(pinned) if pinned != facts.signers => {
                let then = signer_policy::follow(&pinned, &facts.signers, &judged.verification)
                    .map_err(|conflict| conflict.refusal(&facts.package))?;
                Ok(Follows::Rotation { pinned, then })
            }
            _ => Ok(Follows::Pin),
        }
    }

    /// The build, and whether it was there before.
    async fn keep(
        &self,
        staged: artifacts::Staged,
        judged: Judged,
        provenance: Provenance,
        follows: Follows,
        actor: &Actor,
    ) -> Result<(Build, bool), Error> {
        let _keeping = self.keeping.lock().await;
        let Judged { facts, profile, .. } = judged;
        let (sha256, profile) = (facts.sha256, Some(profile));
        let blob = self.artifacts.commit(staged).await?;
        let note = note(&facts, &actor.on_record(self.clock.now()));
        let inserted = match follows {
            Follows::Pin => self.store.insert_build(facts, provenance, profile, note).await,
            Follows::Rotation { pinned, then } => {
                self.store
                    .insert_rotated_build(facts, provenance, profile, pinned, then, note)
                    .await
            }
        };
        let refusal = match inserted {
            Ok(build) => return Ok((build, false)),
            Err(error) => match self.in_the_way(&error).await {
                // Its version stays taken, and there is nothing of it to look at.
                Some((build, true)) => storage::Error::BuildDeleted { build: build.id }.into(),
                Some((build, false)) if build.facts.sha256 == sha256 => {
                    return Ok((build, true));
                }
                Some((build, false)) => Error::from(error).because_of(&build),
                None => error.into(),
            },
        };
        // A file that was there before is not this upload's to take away.
        if !blob.existed {
            self.discard(&sha256).await;
        }
        Err(refusal)
    }

    /// The build that has the version already, where that is the fault, and whether it was deleted.
    async fn in_the_way(&self, fault: &storage::Error) -> Option<(Build, bool)> {
        let storage::Error::VersionExists { existing, .. } = fault else {
            return None;
        };
        let build = self.store.build(*existing).await.ok()?;
        let deleted_at = self.store.build_deleted_at(*existing).await.ok()?;
        Some((build, deleted_at.is_some()))
    }

    async fn delete(&self, actor: &Actor, id: BuildId) -> Result<Deleted, Error> {
        let _keeping = self.keeping.lock().await;
        let package = self.store.build(id).await?.facts.package;
        let note = actor
            .on_record(self.clock.now())
            .note("ota.delete", format!("package/{package}"));
        let deleted = self.store.delete_build(id, note).await?;
        self.discard(&deleted.build.facts.sha256).await;
        self.snapshots.follow_own_change().await;
        tracing::info!(
            event = "ota.delete",
            actor = actor.subject,
            package_name = %package,
            build_id = id.0,
            version_free = deleted.version_free,
        );
        Ok(deleted)
    }

    /// Removes a file whose build could not be registered, or was deleted, unless another build is made of the same bytes.
    async fn discard(&self, sha256: &Sha256) {
        match self.store.blob_in_use(*sha256).await {
            Ok(true) => {}
            Ok(false) => {
                if let Err(error) = self.artifacts.remove(&sha256.0).await {
                    tracing::warn!(%sha256, %error, "a file that no build needs could not be removed");
                }
            }
            Err(error) => {
                tracing::warn!(%sha256, %error, "a file that perhaps no build needs was left in place");
            }
        }
    }
}

fn log(build: &Build, actor: &Actor, against_current: Option<&UpdateFindings>) {
    tracing::info!(
        event = "ota.upload",
        actor = actor.subject,
        package_name = %build.facts.package,
        build_id = build.id.0,
        version_code = build.facts.version_code.get(),
        sha256 = %build.facts.sha256,
        file_size = build.facts.size,
    );
    let findings = build
        .facts
        .installability
        .iter()
        .flat_map(|found| &found.findings);
    for finding in findings {
        let (warning, levels) = (finding.to_string(), finding.levels);
        tracing::warn!(event = "ota.upload.warning", build_id = build.id.0, warning, %levels);
    }
    for warning in &build.facts.warnings {
        tracing::warn!(event = "ota.upload.warning", build_id = build.id.0, warning);
    }
    let Some(UpdateFindings { base, findings }) = against_current else {
        return;
    };
    for finding in findings {
        let (warning, levels) = (finding.to_string(), finding.levels);
        tracing::warn!(
            event = "ota.upload.warning",
            build_id = build.id.0,
            base_build_id = base.0,
            warning,
            %levels
        );
    }
}

/// The build's number is added by storage, which draws it.
fn note(facts: &BuildFacts, actor: &tidegate_storage::Actor) -> AuditNote {
    let after = serde_json::json!({
        "version_code": facts.version_code,
        "version_name": facts.version_name,
        "sha256": facts.sha256,
        "file_size": facts.size,
        "signers": facts.signers,
    });
    AuditNote {
        after: Some(after),
        ..actor.note("ota.upload", format!("package/{}", facts.package))
    }
}

/// Refuses release notes that are too long.
pub(crate) fn check_notes(notes: &str) -> Result<(), Error> {
    if notes.len() > MAX_NOTES_BYTES {
        return Err(Error::invalid(
            "notes",
            format!("is longer than {MAX_NOTES_BYTES} bytes"),
        ));
    }
    Ok(())
}

impl UploadNotes {
    fn check(&self) -> Result<(), Error> {
        check_notes(&self.notes)?;
        let bounds = [
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
