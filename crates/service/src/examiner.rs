//! Builds from before a build's file was examined on upload: their files are examined one after the other, behind the
//! requests. Until its turn comes a build is offered as before.

use std::fs::File;
use std::time::Duration;

use tidegate_artifacts as artifacts;
use tidegate_domain::{Build, BuildId, SdkLevel};
use tidegate_storage::Store;
use tokio_util::sync::CancellationToken;

use crate::examination::Examination;
use crate::patches::fetch;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// The pause after each build, so that requests come first.
const PAUSE: Duration = Duration::from_millis(100);

/// How long to wait when the database does not answer.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// Examines the builds whose files were not examined yet.
pub struct Examiner {
    store: Store,
    artifacts: artifacts::Store,
    floor: SdkLevel,
}

impl Examiner {
    /// For a fleet whose lowest level is `floor`.
    pub fn new(store: Store, artifacts: artifacts::Store, floor: SdkLevel) -> Self {
        Self {
            store,
            artifacts,
            floor,
        }
    }

    /// Examines one build after the other, newest first, until all are or `stop` is canceled. A build whose file
    /// can't be read is left as it is until the next start.
    pub async fn run(self, stop: CancellationToken) {
        if stop.run_until_cancelled(self.examine_all()).await.is_none() {
            tracing::debug!("the server stops before all builds were examined");
        }
    }

    async fn examine_all(&self) {
        let (mut before, mut examined, mut failed) = (None, 0_u64, 0_u64);
        loop {
            let build = match self.store.unexamined_build(before).await {
                Ok(Some(build)) => build,
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "builds to be examined could not be looked for");
                    tokio::time::sleep(TRY_AGAIN).await;
                    continue;
                }
            };
            before = Some(build.id);
            match self.examine(&build).await {
                Ok(()) => examined += 1,
                Err(error) => {
                    failed += 1;
                    unexamined(build.id, &error);
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        if examined + failed > 0 {
            tracing::info!(
                event = "ota.examined.all",
                examined,
                failed,
                "the builds from before were examined"
            );
        }
    }

    async fn examine(&self, build: &Build) -> Result<(), Fault> {
        let staged = fetch(&self.artifacts, build).await?;
        let (path, floor) = (staged.path().to_owned(), self.floor);
        let examination = tokio::task::spawn_blocking(move || -> Result<Examination, Fault> {
            Ok(Examination::of_file(&File::open(&path)?, floor)?)
        })
        .await??;
        let Examination {
            installability,
            profile,
        } = examination;
        let (levels, somewhere) = (installability.levels(), installability.installs_from(floor));
        self.store
            .keep_examination(build.id, installability, profile)
            .await?;
        tracing::info!(
            event = "ota.examined",
            build_id = build.id.0,
            package_name = %build.facts.package,
            version_code = build.facts.version_code.get(),
            installs_on = levels,
        );
        if !somewhere {
            tracing::warn!(
                event = "ota.examined.not_installable",
                build_id = build.id.0,
                "no device of the fleet installs this build; it is offered to none from now on"
            );
        }
        Ok(())
    }
}

fn unexamined(build: BuildId, error: &Fault) {
    tracing::warn!(
        event = "ota.examined.failed",
        build_id = build.0,
        %error,
        "a build from before could not be examined; it is offered as before"
    );
}
