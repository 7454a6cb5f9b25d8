//! The files that phones have installed. A fleet runs a handful of builds, so each is kept once and not once for each phone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// How many different files are kept. A phone whose file is none of them has nothing to patch.
const MAX_FILES: usize = 64;

/// The files, by their hash.
#[derive(Debug, Default)]
pub(crate) struct ApkShelf(Mutex<HashMap<[u8; 32], Arc<Vec<u8>>>>);

impl ApkShelf {
    /// The one copy of a file; `None` where there is no room for another.
    pub(crate) fn keep(&self, apk: &Arc<Vec<u8>>) -> Option<Arc<Vec<u8>>> {
        let sha256 = Sha256::digest(apk.as_slice()).into();
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !files.contains_key(&sha256) && files.len() < MAX_FILES {
            files.insert(sha256, Arc::clone(apk));
        }
        files.get(&sha256).map(Arc::clone)
    }

    /// What somebody made of a file who packed it anew: as long, and another one.
    pub(crate) fn repackaged(apk: &[u8]) -> Vec<u8> {
        let mut other = apk.to_vec();
        if let Some(byte) = other.get_mut(apk.len() / 2) {
            *byte ^= 1;
        }
        other
    }
}
