//! A build's file on this machine's disk, for what has to read it whole.

use futures::StreamExt as _;
use tidegate_artifacts as artifacts;
use tidegate_domain::Build;

/// Why something behind the requests could not be done.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A copy of the build's file, which goes when it is dropped.
pub(crate) async fn fetch(store: &artifacts::Store, build: &Build) -> Result<artifacts::Staged, Fault> {
    let (sha256, size) = (build.facts.sha256, build.facts.size);
    let mut staging = store.stage(size).await?;
    let mut chunks = store.read(&sha256.0, 0..size).await?;
    while let Some(chunk) = chunks.next().await {
        staging.write(chunk?).await?;
    }
    let staged = staging.finish().await?;
    if *staged.sha256() != sha256.0 {
        return Err("the file's bytes are not those that were uploaded".into());
    }
    Ok(staged)
}
