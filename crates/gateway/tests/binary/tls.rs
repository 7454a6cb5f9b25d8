//! TLS of the server's own: what it speaks, whom it refuses, and how its certificate is exchanged.

#![allow(clippy::disallowed_methods, reason = "how long a server really takes")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, Version};
use serde_json::Value;

use crate::program::{Running, client, err, exited, tidegate};

const NAME: &str = "updates.example.com";

/// Longer than the server takes to look at its files.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes a new certificate and its key where the server looks for them, and returns the certificate.
fn renew(folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    fs::write(folder.join("tls.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

fn serve(folder: &Path) -> (Running, SocketAddr) {
    let mut command = tidegate(folder);
    command.arg("serve").env("TIDEGATE_LISTEN", "127.0.0.1:0");
    command
        .env("TIDEGATE_TLS_CERTIFICATE", "tls.pem")
        .env("TIDEGATE_TLS_KEY", "tls.key");
    let running = Running::start(command);
    let line: Value = serde_json::from_str(&running.line("ota.server.start")).unwrap();
    assert!(
        line["public_url"].as_str().unwrap().starts_with("https://"),
        "{line}"
    );
    let addr = line["listen"].as_str().unwrap().parse().unwrap();
    (running, addr)
}

/// A client that trusts one certificate.
fn trusting(pem: &str, addr: SocketAddr, http1: bool) -> Client {
    client();
    let builder = Client::builder().no_proxy().resolve(NAME, addr);
    let builder = builder.tls_certs_only([Certificate::from_pem(pem.as_bytes()).unwrap()]);
    let builder = if http1 { builder.http1_only() } else { builder };
    builder.build().unwrap()
}

async fn version(http: &Client, addr: SocketAddr) -> Result<Version, reqwest::Error> {
    let url = format!("https://{NAME}:{}/healthz", addr.port());
    let answer = http.get(url).send().await?;
    assert_eq!(answer.status(), 200);
    Ok(answer.version())
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_over_tls_and_nothing_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let pem = renew(folder.path());
    let (_server, addr) = serve(folder.path());
    assert_eq!(
        version(&trusting(&pem, addr, false), addr).await.unwrap(),
        Version::HTTP_2
    );
    assert_eq!(
        version(&trusting(&pem, addr, true), addr).await.unwrap(),
        Version::HTTP_11
    );
    let mut plain = TcpStream::connect(addr).unwrap();
    write!(plain, "GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(
        !answer.starts_with(b"HTTP"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let first = renew(folder.path());
    let (server, addr) = serve(folder.path());
    version(&trusting(&first, addr, false), addr).await.unwrap();

    fs::write(folder.path().join("tls.pem"), "no certificate").unwrap();
    let told = server.line("ota.tls.kept");
    assert!(
        told.contains("tls_certificate") && told.contains("there is no certificate"),
        "{told}"
    );
    version(&trusting(&first, addr, false), addr).await.unwrap();

    let second = renew(folder.path());
    server.line("ota.tls.reloaded");
    let begun = Instant::now();
    while version(&trusting(&second, addr, false), addr).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "the old certificate is still used");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(version(&trusting(&first, addr, false), addr).await.is_err());
}

#[test]
fn a_pair_that_cannot_be_used_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = tidegate(folder.path());
        command.arg("serve").env("TIDEGATE_LISTEN", "127.0.0.1:0");
        command
            .env("TIDEGATE_TLS_CERTIFICATE", "tls.pem")
            .env("TIDEGATE_TLS_KEY", "tls.key");
        let output = command.output().unwrap();
        exited(&output, 2);
        err(&output)
    };
    assert!(start().contains("tls_certificate: tls.pem: "), "{}", start());
    let pem = renew(folder.path());
    let key = fs::read_to_string(folder.path().join("tls.key")).unwrap();
    fs::write(folder.path().join("tls.key"), &pem).unwrap();
    assert!(
        start().contains("tls_key: tls.key: there is no private key in it"),
        "{}",
        start()
    );
    renew(folder.path());
    fs::write(folder.path().join("tls.key"), key).unwrap();
    let told = start();
    assert!(told.contains("it is not the key of the certificate"), "{told}");
    assert!(!told.contains("PRIVATE"), "{told}");
}

#[test]
fn a_handshake_that_does_not_come_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    renew(folder.path());
    let (_server, addr) = serve(folder.path());
    let mut silent = TcpStream::connect(addr).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn plain_http_to_other_machines_is_warned_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let start = |listen: &str| {
        let mut command = tidegate(folder.path());
        command.arg("serve").env("TIDEGATE_LISTEN", listen);
        command.env("TIDEGATE_PUBLIC_URL", "https://updates.example.com");
        let running = Running::start(command);
        running.line("ota.server.start");
        running.signal("TERM");
        let (_, lines) = running.all();
        lines.matches("ota.server.plain_http").count()
    };
    assert_eq!(start("0.0.0.0:0"), 1);
    assert_eq!(start("127.0.0.1:0"), 0);
}
