//! Content-addressed blobs on a local folder or S3.
//!
//! The one idea: **a blob's name is the SHA-256 of its bytes**. Nobody can choose a name, so nobody can
//! overwrite a blob or climb out of the folder; the same file uploaded twice is one blob; a reader that was
//! told the hash by the catalog can check what it got.
//!
//! **The way of an upload.** [`Store::stage`] opens a file in the staging folder; [`Staging::write`] hashes
//! the bytes once, on their way to it, and refuses what is over the limit; [`Staging::finish`] gives a
//! [`Staged`] that others may look into (is it an APK? signed by whom?) under [`Staged::path`]; and
//! [`Store::commit`] makes it a blob. Before the commit, dropping either value removes the file, so an upload
//! that fails for whatever reason leaves nothing. A process that is killed can't drop:
//! [`Store::sweep_staging`] at the next start removes what it left.
//!
//! **Acknowledged means durable.** On a folder a commit is: sync the file, rename it into place, sync the
//! folders. A blob is there completely or not at all. On S3 it is a multipart upload, which becomes visible
//! when it is completed and is aborted when it fails. (A killed process can't abort: give the bucket a
//! lifecycle rule that drops incomplete uploads after a day.)
//!
//! **Why stage on disk even for S3.** The name is known only after the last byte, and the upload is looked
//! into before it is accepted: an APK's directory is at its end.
//!
//! A [`Witness`] is beside it: a place for lines that are never given up.
//!
//! What this crate must never know: what an APK is, who uploads or downloads, and which blobs are still
//! needed. Removing one is its owner's decision.

mod bucket;
mod error;
mod folder;
mod key;
mod pieces;
mod staging;
mod store;
mod witness;

pub use bucket::S3Options;
pub use error::Error;
pub use staging::{Staged, Staging};
pub use store::{Blob, Chunks, Store};
pub use witness::{MAX_WITNESSED, Witness};
