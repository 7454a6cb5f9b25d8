//! TLS of the port's own, for those without a proxy.
//!
//! The certificate is read again when its file or the key's file changes, so that whoever renews it need not stop the
//! server. A pair that cannot be used is refused at the start; later the one before it goes on and the log says why.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::config::TlsFiles;

/// How long a handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The largest file that is read, in bytes. A chain of certificates has some thousands.
const MAX_PEM_BYTES: u64 = 1024 * 1024;

/// The protocols that are offered (ALPN), the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS for the ports of a server.
#[derive(Clone)]
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

/// The certificate in use.
#[derive(Debug)]
struct Current {
    files: TlsFiles,
    pair: ArcSwap<CertifiedKey>,
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair.load_full())
    }
}

impl Tls {
    /// # Errors
    /// [`Error::Unusable`] with the setting whose file cannot be used.
    pub(super) fn new(files: TlsFiles) -> Result<Self, Error> {
        let pair = ArcSwap::from_pointee(read(&files)?);
        let current = Arc::new(Current { files, pair });
        let unusable = |fault: rustls::Error| Error::unusable("tls_certificate")(&fault);
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        // A device that comes back within some hours brings its session along, which spares a signature. Without tickets the
        // server would keep the last few hundred sessions, and a fleet has more devices.
        config.ticketer = ring::Ticketer::new().map_err(unusable)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            current,
        })
    }

    /// Shakes hands with a peer. `None` when it does not in time, or speaks no TLS: there is nothing to tell it.
    pub(super) async fn accept<S>(&self, stream: S) -> Option<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = tokio::time::timeout(HANDSHAKE_LIMIT, self.acceptor.accept(stream));
        handshake.await.ok()?.ok()
    }

    /// Reads the files again when they change, until `stop` is canceled.
    pub(super) async fn follow(self, stop: CancellationToken) {
        let files = self.current.files.clone();
        let mut known = changed(&files).await;
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
            let now = changed(&files).await;
            if now == known {
                continue;
            }
            known = now;
            let from = files.clone();
            match tokio::task::spawn_blocking(move || read(&from)).await {
                Ok(Ok(pair)) => {
                    self.current.pair.store(Arc::new(pair));
                    tracing::info!(event = "ota.tls.reloaded", "the certificate was read again");
                }
                Ok(Err(error)) => tracing::error!(
                    event = "ota.tls.kept",
                    fault = %error,
                    "the new certificate cannot be used; the one before it goes on"
                ),
                Err(error) => tracing::error!(%error, "reading the certificate failed"),
            }
        }
    }
}

/// When the two files were written; a link that leads elsewhere leads to another time.
async fn changed(files: &TlsFiles) -> [Option<SystemTime>; 2] {
    let written = async |path: &Path| tokio::fs::metadata(path).await.ok()?.modified().ok();
    [written(&files.certificate).await, written(&files.key).await]
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, Error> {
    let fault = |setting: &'static str, path: &Path, fault: &dyn std::fmt::Display| {
        Error::unusable(setting)(&format!("{}: {fault}", path.display()))
    };
    let of_certificate = |what: &dyn std::fmt::Display| fault("tls_certificate", &files.certificate, what);
    let of_key = |what: &dyn std::fmt::Display| fault("tls_key", &files.key, what);

    let text = pem(&files.certificate).map_err(|error| of_certificate(&error))?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| of_certificate(&error))?;
    if chain.is_empty() {
        return Err(of_certificate(&"there is no certificate in it"));
    }
    let text = pem(&files.key).map_err(|error| of_key(&error))?;
    // The parser's error may quote the file.
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| of_key(&"there is no private key in it"))?;
    let key =
        ring::sign::any_supported_type(&key).map_err(|_| of_key(&"a key of a kind that is not known"))?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(pair),
        Err(_) => Err(of_key(&"it is not the key of the certificate")),
    }
}

fn pem(path: &Path) -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
    use std::io::Read as _;
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    std::fs::File::open(path)?
        .take(MAX_PEM_BYTES)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, HandshakeKind, RootCertStore};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsConnector;

    use super::*;

    const NAME: &str = "updates.example.com";

    /// A server's TLS, and clients that know none of its sessions yet.
    fn both(folder: &Path) -> (Tls, impl Fn() -> TlsConnector + use<>) {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let files = TlsFiles {
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        };
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let client = move || {
            let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            TlsConnector::from(Arc::new(config))
        };
        (Tls::new(files).unwrap(), client)
    }

    /// How the two shook hands.
    async fn meet(tls: &Tls, client: &TlsConnector) -> HandshakeKind {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let server = async {
            let mut stream = tls.accept(ours).await.unwrap();
            stream.write_all(b"!").await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let device = async {
            let name = ServerName::try_from(NAME).unwrap();
            let mut stream = client.connect(name, theirs).await.unwrap();
            // The ticket comes behind the handshake.
            stream.read_to_end(&mut Vec::new()).await.unwrap();
            stream.get_ref().1.handshake_kind().unwrap()
        };
        tokio::join!(server, device).1
    }

    #[tokio::test]
    async fn a_device_resumes_its_session_however_many_others_came_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let (tls, client) = both(folder.path());
        let device = client();
        assert_eq!(meet(&tls, &device).await, HandshakeKind::Full);
        for _ in 0..300 {
            meet(&tls, &client()).await;
        }
        assert_eq!(meet(&tls, &device).await, HandshakeKind::Resumed);
    }
}
