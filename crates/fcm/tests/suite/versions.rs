//! An address without TLS may speak either version of HTTP, and nobody says which.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_fcm::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::{client_of, message, pair};

/// A server of one's own that knows HTTP/1.1 alone, as those of most languages' libraries do, and its address.
async fn old_server() -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let taken = Arc::<AtomicU32>::default();
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&count)));
        }
    });
    (endpoint, taken)
}

/// Answers one request after the other, until one is none.
async fn answer(stream: TcpStream, taken: Arc<AtomicU32>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut request, mut length) = (String::new(), 0);
        stream.read_line(&mut request).await.ok()?;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().ok()?;
            }
        }
        stream.read_exact(&mut vec![0; length]).await.ok()?;
        let status = match request.split(' ').next()? {
            "POST" => {
                taken.fetch_add(1, Ordering::Relaxed);
                "200 OK"
            }
            "GET" => "404 Not Found",
            _ => {
                let refusal = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(refusal).await.ok()?;
                return None;
            }
        };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}");
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

#[tokio::test]
async fn a_server_without_http_2_is_reached() {
    let (google, _) = pair().await;
    let (endpoint, taken) = old_server().await;
    let client = client_of(&google.service_account(), &endpoint, |_| {});
    for _ in 0..3 {
        client.send(&message("t")).await.unwrap();
    }
    assert_eq!(taken.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn many_messages_at_once_ask_once_and_all_arrive() {
    let (google, _) = pair().await;
    let (endpoint, taken) = old_server().await;
    let client = client_of(&google.service_account(), &endpoint, |_| {});
    let sends = (0..50).map(|number| {
        let client = client.clone();
        tokio::spawn(async move { client.send(&message(&format!("t{number}"))).await })
    });
    for send in sends.collect::<Vec<_>>() {
        send.await.unwrap().unwrap();
    }
    assert_eq!(taken.load(Ordering::Relaxed), 50);
}

#[tokio::test]
async fn nobody_at_the_address_is_an_error_that_says_so() {
    let (google, _) = pair().await;
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let client = client_of(&google.service_account(), &format!("http://{nobody}"), |_| {});
    let error = client.send(&message("t")).await.unwrap_err();
    assert!(
        matches!(&error, Error::Connection(why) if why.contains("refused")),
        "{error:?}"
    );
}
