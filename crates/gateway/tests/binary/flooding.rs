//! A stranger's connection with as many streams as it may have, each stream with something unfinished on it; and the device
//! that wants its answers meanwhile.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::frames;
use crate::program::{client, exited, out, run};

/// So many of them come at once.
pub(crate) const CONNECTIONS: usize = 20;

/// As many as a connection may have at once.
const STREAMS: u32 = 256;

/// The bytes of a body's first frame.
const BODY: usize = 16_000;

/// What a stranger does with each stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trick {
    /// Asks for the largest answer that needs no credential, and opens no window for it.
    Untaken,
    /// Sends half of a gRPC message of 4 MB.
    HalfMessage,
    /// Begins heads that do not end: one for each connection, as nothing else may come between.
    HalfHead,
    /// Asks for the document and takes it.
    Taken,
}

/// What one stream brings: its head, and as much of a body as the server gives leave for.
fn stream(trick: Trick, id: u32) -> (Vec<u8>, Vec<u8>) {
    match trick {
        Trick::Untaken | Trick::Taken => (frames::get(id, "/openapi.json"), vec![]),
        Trick::HalfHead => (frames::half_head(id, "/healthz"), vec![]),
        Trick::HalfMessage => {
            // A message of four megabytes, of which one frame comes.
            let mut message = vec![0];
            message.extend((4_u32 << 20).to_be_bytes());
            message.resize(BODY, b'x');
            let head = frames::call(id, "/tidegate.v1.BuildService/ListBuilds");
            (head, frames::data(id, &message))
        }
    }
}

/// Sends all that there is to send, as long as the server takes it, and stays.
pub(crate) async fn flood(addr: SocketAddr, trick: Trick, over: Arc<AtomicBool>) {
    let Ok(mut socket) = TcpStream::connect(addr).await else {
        return;
    };
    let (mut reader, mut writer) = socket.split();
    let leave = Semaphore::new(frames::FIRST_WINDOW);
    let writes = async {
        let window = if matches!(trick, Trick::Taken) { 1 << 30 } else { 0 };
        writer.write_all(&frames::opening(window)).await?;
        // Nothing may come between the parts of a head.
        let streams = if matches!(trick, Trick::HalfHead) {
            1
        } else {
            STREAMS
        };
        for number in 0..streams {
            let (head, body) = stream(trick, 2 * number + 1);
            writer.write_all(&head).await?;
            if !body.is_empty() {
                let bytes = u32::try_from(BODY).unwrap();
                leave.acquire_many(bytes).await.unwrap().forget();
                writer.write_all(&body).await?;
            }
        }
        std::future::pending::<std::io::Result<()>>().await
    };
    let reads = async {
        let mut read = Vec::new();
        while matches!(reader.read_buf(&mut read).await, Ok(count) if count > 0) {
            leave.add_permits(frames::leave(&mut read));
        }
    };
    let ends = async {
        while !over.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let both = async {
        // Whoever is sent away does not come again.
        tokio::join!(writes, reads).0
    };
    tokio::select! {
        _ = both => {}
        () = ends => {}
    }
}

/// The path and query of the device's poll.
pub(crate) const POLL: &str =
    "/v1/agent/update?device_id=phone-1&package_name=com.example.app&current_version_code=1";

/// Enrols the device, and tells its token.
pub(crate) async fn device(folder: &Path, addr: SocketAddr) -> String {
    let enrollment = run(folder, &["admin", "enroll-token"]);
    exited(&enrollment, 0);
    let body = json!({ "enrollment_token": out(&enrollment).trim(), "device_id": "phone-1" });
    let request = client()
        .post(format!("http://{addr}/v1/agent/enroll"))
        .json(&body);
    let enrolled: Value = request.send().await.unwrap().json().await.unwrap();
    enrolled["device_token"].as_str().unwrap().to_owned()
}
