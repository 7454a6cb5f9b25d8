//! PostgreSQL over TLS: a real server that refuses plain connections, and impostors.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tidegate_storage::{Error, Settings, Store};
use tidegate_testkit::postgres::{Cluster, Tls};

use crate::samples::{APP, upload};

/// An authority, its certificate in a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    fn server(&self, host: &str) -> Tls {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        Tls {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

async fn open(url: &str) -> Result<Store, Error> {
    let mut settings = Settings::new(url);
    settings.pool_size = 4;
    settings.busy_timeout = Duration::from_secs(3);
    Store::open(&settings).await
}

async fn refusal(url: &str) -> String {
    match open(url).await {
        Err(Error::Unavailable(words)) => words,
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_plain_connections_is_reached_and_told_from_others() {
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let cluster = Cluster::start_with_tls(&ours.server("localhost"));
    let database = cluster.database("tls");
    let url = database.url();
    let (ca, wrong) = (ours.file(), other.file());

    let plain = refusal(&url).await;
    assert!(plain.contains("no encryption"), "{plain}");

    let by_name = url.replace("127.0.0.1", "localhost");
    let store = open(&format!("{by_name}?sslmode=verify-full&sslrootcert={ca}"))
        .await
        .unwrap();
    let build = upload(&store, APP, 1).await;
    for query in [
        "sslmode=require".to_owned(),
        format!("sslmode=require&sslrootcert={ca}"),
        format!("sslmode=verify-ca&sslrootcert={ca}"),
    ] {
        let store = open(&format!("{url}?{query}")).await.expect(&query);
        assert_eq!(store.build(build.id).await.as_ref(), Ok(&build), "{query}");
    }

    for mode in ["require", "verify-ca", "verify-full"] {
        let words = refusal(&format!("{by_name}?sslmode={mode}&sslrootcert={wrong}")).await;
        assert!(
            words.contains("UnknownIssuer") && words.contains("TLS to localhost"),
            "{words}"
        );
    }
    let words = refusal(&format!("{url}?sslmode=verify-full&sslrootcert={ca}")).await;
    assert!(words.contains("not valid for name"), "{words}");
}

#[tokio::test]
async fn an_authority_that_cannot_be_read_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    for file in [Path::new("/no/such/ca.pem"), &empty] {
        let url = format!(
            "postgres://u:secret@localhost/d?sslmode=verify-ca&sslrootcert={}",
            file.display()
        );
        let opened = open(&url).await;
        let Err(Error::Settings(words)) = opened else {
            panic!("{opened:?}");
        };
        assert!(words.contains(&file.display().to_string()), "{words}");
        assert!(!words.contains("secret"), "{words}");
    }
}

/// Somebody who is not the server: answers the first request with these bytes and keeps what comes then.
fn impostor(answer: &'static [u8]) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let (mut caller, _) = listener.accept().unwrap();
        let mut request = [0; 8];
        caller.read_exact(&mut request).unwrap();
        assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47], "it asks for TLS first");
        caller.write_all(answer).unwrap();
        let mut heard = Vec::new();
        drop(caller.read_to_end(&mut heard));
        heard
    });
    (port, heard)
}

fn holds(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_name_nor_password_is_told_before_there_is_tls() {
    let url = |port: u16| format!("postgres://annabel:confidential@127.0.0.1:{port}/fleetdb?sslmode=require");
    let (port, heard) = impostor(b"N");
    let words = refusal(&url(port)).await;
    assert!(words.contains("the server has no TLS"), "{words}");
    assert_eq!(heard.join().unwrap(), b"", "nothing follows a refusal");

    // Says yes, and then asks for the password in plain text.
    let (port, heard) = impostor(b"SR\0\0\0\x08\0\0\0\x03");
    let words = refusal(&url(port)).await;
    assert!(words.contains("TLS to 127.0.0.1"), "{words}");
    let heard = heard.join().unwrap();
    for word in ["annabel", "confidential", "fleetdb"] {
        assert!(!holds(&heard, word), "{word} was told");
    }
}
