//! Somebody between the fleet and its server, who answers some reports himself.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Passes everything on to the server, on loopback and until the test ends, but for reports of this status: they are
/// refused for good. Returns where to find it.
pub(crate) async fn refusing(server: &str, status: &'static str) -> String {
    let server = server
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                let _ = pass_on(socket, &server, status).await;
            });
        }
    });
    base
}

/// One request for each connection.
async fn pass_on(mut socket: TcpStream, server: &str, status: &str) -> std::io::Result<()> {
    let (head, body) = read(&mut socket).await?;
    let said = format!("\"status\":\"{status}\"");
    if head.starts_with("POST /v1/agent/report ") && String::from_utf8_lossy(&body).contains(&said) {
        let problem = r#"{"status":400,"code":"invalid_argument","detail":"nobody wants to hear of it"}"#;
        let answer = format!(
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/problem+json\r\n\
             content-length: {}\r\n\r\n{problem}",
            problem.len()
        );
        socket.write_all(answer.as_bytes()).await?;
    } else {
        let mut beyond = TcpStream::connect(server).await?;
        let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        beyond.write_all(head.as_bytes()).await?;
        beyond.write_all(&body).await?;
        tokio::io::copy(&mut beyond, &mut socket).await?;
    }
    socket.shutdown().await
}

/// The head with its empty line, and the body.
async fn read(socket: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let (mut read, mut piece) = (vec![], [0; 4096]);
    loop {
        let count = socket.read(&mut piece).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        read.extend_from_slice(&piece[..count]);
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&read[..end + 4]).into_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().ok())?
        });
        if read.len() >= end + 4 + length.unwrap_or(0) {
            return Ok((head, read[end + 4..].to_vec()));
        }
    }
}
