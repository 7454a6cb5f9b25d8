//! A store with its surroundings: the folder under it, and for S3 the server in front of that.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use secrecy::SecretString;
use tempfile::TempDir;
use tidegate_artifacts::{Blob, Error, S3Options, Staged, Store};
use tokio::net::TcpListener;

use crate::trouble::{Brittle, Trouble};

pub(crate) const BUCKET: &str = "apks";
pub(crate) const ACCESS_KEY: &str = "AKIDEXAMPLE";
pub(crate) const SECRET_KEY: &str = "a-secret-for-loopback-only";
/// Larger than any test's upload.
pub(crate) const NO_LIMIT: u64 = 1 << 30;

pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) root: TempDir,
    /// Where the S3 server listens; empty for a folder.
    pub(crate) endpoint: String,
    pub(crate) trouble: Arc<Trouble>,
}

impl Fixture {
    pub(crate) fn folder() -> Fixture {
        let root = TempDir::new().unwrap();
        let store = Store::open(
            root.path().to_str().unwrap(),
            Path::new("unused"),
            &S3Options::default(),
        );
        Fixture {
            store: store.unwrap(),
            root,
            endpoint: String::new(),
            trouble: Arc::default(),
        }
    }

    pub(crate) async fn s3() -> Fixture {
        let root = TempDir::new().unwrap();
        let bucket = root.path().join("server").join(BUCKET);
        std::fs::create_dir_all(&bucket).unwrap();
        let trouble = Arc::new(Trouble::default());
        let endpoint = serve(bucket.parent().unwrap(), Arc::clone(&trouble)).await;
        let options = options(&endpoint);
        let place = format!("s3://{BUCKET}/fleet/one");
        let store = Store::open(&place, &root.path().join("staging"), &options).unwrap();
        Fixture {
            store,
            root,
            endpoint,
            trouble,
        }
    }

    pub(crate) async fn upload(&self, bytes: &[u8]) -> Blob {
        self.store.commit(self.staged(bytes).await).await.unwrap()
    }

    /// An upload in the odd pieces that a network brings.
    pub(crate) async fn staged(&self, bytes: &[u8]) -> Staged {
        let mut staging = self.store.stage(NO_LIMIT).await.unwrap();
        for piece in bytes.chunks(70_001) {
            staging.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        staging.finish().await.unwrap()
    }

    pub(crate) async fn read(&self, blob: &Blob, range: std::ops::Range<u64>) -> Result<Vec<u8>, Error> {
        let chunks: Vec<Bytes> = self.store.read(&blob.sha256, range).await?.try_collect().await?;
        Ok(chunks.concat())
    }

    /// Every file below the root but the S3 server's own book-keeping.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.file_name().unwrap().to_str().unwrap().ends_with(".json") {
                    found.push(path.strip_prefix(self.root.path()).unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }
}

pub(crate) fn options(endpoint: &str) -> S3Options {
    S3Options {
        endpoint: Some(endpoint.to_owned()),
        public_endpoint: None,
        allow_http: false,
        region: None,
        access_key: Some(ACCESS_KEY.to_owned()),
        secret_key: Some(SecretString::from(SECRET_KEY)),
    }
}

async fn serve(root: &Path, trouble: Arc<Trouble>) -> String {
    let mut builder = S3ServiceBuilder::new(Brittle::new(root, trouble));
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    let service: S3Service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let service = service.clone();
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // A client that hangs up is not this test's business.
                drop(server.serve_connection(TokioIo::new(socket), service).await);
            });
        }
    });
    address
}

/// Bytes that do not repeat in any pattern that a lost or doubled chunk could hide in.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}
