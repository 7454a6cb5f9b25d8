//! Whether the artifact store has what the builds need.

use std::collections::HashSet;

use futures::TryStreamExt as _;
use sha2::{Digest as _, Sha256 as Hasher};
use tidegate_artifacts as artifacts;
use tidegate_domain::{BuildId, Sha256};
use tidegate_storage::{BuildFilter, MAX_PAGE_SIZE, Page, Store};

use crate::Error;

/// How many findings are told one by one.
pub const MAX_FINDINGS: usize = 1_000;

/// Compares the artifact store with the builds.
pub struct BlobCheck {
    store: Store,
    artifacts: artifacts::Store,
}

/// What is wrong with a build's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobFault {
    /// It is not there.
    Missing,
    /// It has so many bytes instead of those of the build.
    OtherSize(u64),
    /// Its bytes are others than those that were uploaded.
    Damaged,
}

/// What a check has found. The lists end at [`MAX_FINDINGS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobFindings {
    /// How many builds there are.
    pub builds: usize,
    /// How many files the store has.
    pub files: usize,
    /// How many builds have a fault.
    pub faulty: usize,
    /// Those builds.
    pub faults: Vec<(BuildId, BlobFault)>,
    /// How many patches are made. Their files are among those that are needed.
    pub patches: usize,
    /// How many of them have a fault. Devices take whole files then.
    pub faulty_patches: usize,
    /// Those patches: the build that each leads to, and the one that it is made from.
    pub patch_faults: Vec<((BuildId, BuildId), BlobFault)>,
    /// How many files no build and no patch needs. An upload that is just being registered may be among them.
    pub spare: usize,
    /// Their names, which are their SHA-256.
    pub spares: Vec<Sha256>,
}

impl BlobCheck {
    /// Of this database and artifact store.
    pub fn new(store: Store, artifacts: artifacts::Store) -> Self {
        Self { store, artifacts }
    }

    /// Looks for the file of every build, reading it whole where `read` says so, and at every file of the store.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`] when the database or the store fails.
    pub async fn run(&self, read: bool) -> Result<BlobFindings, Error> {
        let mut findings = BlobFindings::default();
        let (mut needed, mut token) = (HashSet::new(), None);
        loop {
            let page = Page::new(Some(MAX_PAGE_SIZE), token)?;
            let builds = self.store.builds(BuildFilter::default(), page).await?;
            for build in &builds.items {
                needed.insert(build.facts.sha256.0);
                findings.builds += 1;
                let (sha256, size) = (build.facts.sha256, build.facts.size);
                if let Some(fault) = self.look(sha256, size, read).await? {
                    findings.faulty += 1;
                    keep(&mut findings.faults, (build.id, fault));
                }
            }
            token = builds.next_page_token;
            if token.is_none() {
                break;
            }
        }
        self.look_at_patches(read, &mut needed, &mut findings).await?;
        let mut files = self.artifacts.list();
        while let Some((sha256, _)) = files.try_next().await? {
            findings.files += 1;
            if !needed.contains(&sha256) {
                findings.spare += 1;
                keep(&mut findings.spares, Sha256(sha256));
            }
        }
        Ok(findings)
    }

    async fn look_at_patches(
        &self,
        read: bool,
        needed: &mut HashSet<[u8; 32]>,
        findings: &mut BlobFindings,
    ) -> Result<(), Error> {
        for patch in self.store.patches().await? {
            let (Some(sha256), Some(size)) = (patch.sha256, patch.size) else {
                continue;
            };
            needed.insert(sha256.0);
            findings.patches += 1;
            if let Some(fault) = self.look(sha256, size, read).await? {
                findings.faulty_patches += 1;
                keep(&mut findings.patch_faults, ((patch.build, patch.base), fault));
            }
        }
        Ok(())
    }

    async fn look(&self, sha256: Sha256, size: u64, read: bool) -> Result<Option<BlobFault>, Error> {
        let sha256 = &sha256.0;
        match self.artifacts.size(sha256).await? {
            None => Ok(Some(BlobFault::Missing)),
            Some(there) if there != size => Ok(Some(BlobFault::OtherSize(there))),
            Some(_) if read => {
                let mut chunks = self.artifacts.read(sha256, 0..size).await?;
                let mut hash = Hasher::new();
                while let Some(bytes) = chunks.try_next().await? {
                    hash.update(&bytes);
                }
                Ok((hash.finalize()[..] != sha256[..]).then_some(BlobFault::Damaged))
            }
            Some(_) => Ok(None),
        }
    }
}

fn keep<T>(list: &mut Vec<T>, finding: T) {
    if list.len() < MAX_FINDINGS {
        list.push(finding);
    }
}
