//! Blobs in a bucket: how to get in, and how a staged file becomes one.

use std::path::Path as File;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ClientOptions, MultipartUpload, ObjectStoreExt as _, RetryConfig, UploadPart};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::AsyncReadExt as _;
use url::{Host, Url};

use crate::Error;

/// S3 wants parts of 5 MiB to 5 GiB and at most 10,000 of them: this makes 78 GiB, and R2 wants them equal.
const PART_BYTES: u64 = 8 * 1024 * 1024;
/// Memory for an upload is this times the part size.
const PARTS_IN_FLIGHT: usize = 4;
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Silence on a connection, not the length of a transfer: a slow device may take an hour for its download.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
const RETRIES: usize = 4;
const RETRY_LIMIT: Duration = Duration::from_secs(30);

/// How to reach a bucket. Everything left out comes from AWS's usual places: the `AWS_*` environment, a web
/// identity, the instance's role.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Options {
    /// `https://…` of a server other than AWS; `http://` on this machine, elsewhere only with `allow_http`.
    pub endpoint: Option<String>,
    /// Where others reach the same server, for URLs that are handed out; the endpoint itself when left out.
    pub public_endpoint: Option<String>,
    /// Whether blobs and requests may cross a network in plain text. The secret key itself is never sent.
    pub allow_http: bool,
    /// `us-east-1` when left out.
    pub region: Option<String>,
    /// Goes together with the secret key.
    pub access_key: Option<String>,
    /// Never printed.
    pub secret_key: Option<SecretString>,
}

/// A bucket, as we reach it and as others do.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub(crate) objects: Arc<AmazonS3>,
    /// Signs URLs for others.
    pub(crate) public: Arc<AmazonS3>,
}

/// `bucket/some/prefix`, what follows `s3://`.
pub(crate) fn open(place: &str, options: &S3Options) -> Result<(Bucket, Path), Error> {
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    if bucket.is_empty() {
        return Err(Error::Setting(format!(
            "artifact store s3://{place}: there is no bucket in it"
        )));
    }
    let prefix = Path::parse(prefix)
        .map_err(|error| Error::Setting(format!("artifact store s3://{place}: bad prefix: {error}")))?;
    let build = |options: &S3Options| {
        let store = builder(bucket, options)?.build();
        let store = store.map_err(|error| Error::Setting(format!("artifact store s3://{place}: {error}")))?;
        Ok(Arc::new(store))
    };
    let objects = build(options)?;
    let public = match &options.public_endpoint {
        None => Arc::clone(&objects),
        endpoint @ Some(_) => build(&S3Options {
            endpoint: endpoint.clone(),
            ..options.clone()
        })?,
    };
    Ok((Bucket { objects, public }, prefix))
}

fn builder(bucket: &str, options: &S3Options) -> Result<AmazonS3Builder, Error> {
    provide_cryptography();
    let plain = match &options.endpoint {
        Some(endpoint) => is_plain(endpoint, options.allow_http)?,
        None => false,
    };
    let mut client = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_LIMIT)
        .with_read_timeout(SILENCE_LIMIT)
        .with_allow_http(plain);
    if plain {
        // No certificate will be looked at, so a machine without any need not stop us.
        client = client.with_no_system_certificates(true);
    }
    let retry = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: RETRY_LIMIT,
        ..RetryConfig::default()
    };
    let mut builder = credentials(options)?
        .with_bucket_name(bucket)
        .with_client_options(client)
        .with_retry(retry)
        // We remove one blob at a time, and not every S3 server knows the request that removes many.
        .with_disable_bulk_delete(true);
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
    }
    Ok(builder)
}

/// The environment counts only where no keys are given: its session token must not meet another's key.
fn credentials(options: &S3Options) -> Result<AmazonS3Builder, Error> {
    match (&options.access_key, &options.secret_key) {
        (Some(access), Some(secret)) => Ok(AmazonS3Builder::new()
            .with_access_key_id(access)
            .with_secret_access_key(secret.expose_secret())),
        (None, None) => Ok(AmazonS3Builder::from_env()),
        (Some(_), None) => Err(Error::Setting(
            "the S3 access key comes without its secret key".into(),
        )),
        (None, Some(_)) => Err(Error::Setting(
            "the S3 secret key comes without its access key".into(),
        )),
    }
}

/// The HTTP client panics when the process has no TLS provider. The binary installs one first thing; a test or
/// another program that embeds this crate may not have.
fn provide_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody may be faster, and then theirs is used.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

/// Whether the endpoint is plain HTTP, which off this machine has to be allowed.
fn is_plain(endpoint: &str, allow_http: bool) -> Result<bool, Error> {
    let url = Url::parse(endpoint)
        .map_err(|error| Error::Setting(format!("S3 endpoint {endpoint:?} is not a URL: {error}")))?;
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(false),
        "http" if local || allow_http => Ok(true),
        "http" => Err(Error::Setting(format!(
            "S3 endpoint {endpoint:?} would send blobs in the clear: use https, a server on this machine, or s3_allow_http = true where \
             everything on the way is trusted"
        ))),
        _ => Err(Error::Setting(format!(
            "S3 endpoint {endpoint:?} is neither https nor http"
        ))),
    }
}

/// Sends the file; after an error nothing of it stays in the bucket.
pub(crate) async fn upload(store: &AmazonS3, key: &Path, file: &File, size: u64) -> Result<(), Error> {
    let doing = format!("upload {key}");
    if size <= PART_BYTES {
        let bytes = tokio::fs::read(file).await.map_err(Error::while_doing(&doing))?;
        store
            .put(key, bytes.into())
            .await
            .map_err(Error::while_doing(doing))?;
        return Ok(());
    }
    let upload = store
        .put_multipart(key)
        .await
        .map_err(Error::while_doing(&doing))?;
    let mut unfinished = Unfinished {
        upload: Some(upload),
        in_flight: FuturesUnordered::new(),
    };
    let sent = unfinished
        .send(file)
        .await
        .map_err(|source| Error::Unavailable { doing, source });
    if sent.is_err() {
        unfinished.take_back().await;
    }
    sent
}

/// A multipart upload that is aborted unless it was completed, even when the caller goes away.
struct Unfinished {
    upload: Option<Box<dyn MultipartUpload>>,
    in_flight: FuturesUnordered<UploadPart>,
}

impl Unfinished {
    async fn send(&mut self, file: &File) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        let mut file = tokio::fs::File::open(file).await?;
        loop {
            let mut part = Vec::new();
            (&mut file).take(PART_BYTES).read_to_end(&mut part).await?;
            if part.is_empty() {
                break;
            }
            if self.in_flight.len() == PARTS_IN_FLIGHT {
                self.in_flight.next().await.transpose()?;
            }
            self.in_flight.push(upload.put_part(part.into()));
        }
        while let Some(sent) = self.in_flight.next().await {
            sent?;
        }
        upload.complete().await?;
        self.upload = None;
        Ok(())
    }

    async fn take_back(&mut self) {
        if let Some(upload) = self.upload.take() {
            abort(upload, std::mem::take(&mut self.in_flight)).await;
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(abort(upload, std::mem::take(&mut self.in_flight)));
        }
    }
}

/// Waits for the parts on their way first: one that arrives after the abort would stay. Their retries and
/// timeouts bound the wait.
async fn abort(mut upload: Box<dyn MultipartUpload>, mut in_flight: FuturesUnordered<UploadPart>) {
    while in_flight.next().await.is_some() {}
    // The first error is the one worth reporting; the bucket's lifecycle rule is the last resort.
    drop(upload.abort().await);
}
