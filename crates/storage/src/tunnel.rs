//! TLS to PostgreSQL: a tunnel in front of libpq.
//!
//! libpq is built without a TLS library, and rustls is in this program anyway. So libpq connects to a socket in a folder
//! that only this user can enter; for each connection the tunnel connects to the server, asks it for TLS as the protocol
//! has it, checks the certificate, and from then on copies bytes both ways. libpq sends nothing before its first message
//! was accepted here, so neither a name nor a password leaves the machine in plain text.
//!
//! The TLS connection is the tunnel's, so libpq cannot bind a login to it; it is kept from being offered to.
//!
//! A server that has no TLS or the wrong certificate is told to libpq as a server's own refusal would be, so that the
//! reason stands where people look for it.
//!
//! Source: <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL>

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::postgres_url::TlsOrder;
use crate::{Error, certificates};

/// For connecting and the handshake together; libpq's own limit is five seconds too.
const LIMIT: Duration = Duration::from_secs(5);

/// The request's length, itself included, and its code.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// The longest of either side's first messages: a name, a database and a few settings, or a refusal.
const MAX_FIRST_BYTES: u32 = 64 * 1024;

/// A way to one server. Dropped, it takes no new connections; those that it has go on until libpq closes them.
pub(crate) struct Tunnel {
    folder: TempDir,
    accepting: JoinHandle<()>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Far {
    host: String,
    port: u16,
    name: ServerName<'static>,
    connector: TlsConnector,
}

impl Tunnel {
    /// Opens the socket. The server is not asked for anything yet. Runs on the runtime that it is called in.
    pub(crate) fn open(order: &TlsOrder) -> Result<Self, Error> {
        let name = ServerName::try_from(order.host.clone())
            .map_err(|_| Error::Settings(format!("database_url: {:?} is no name of a host", order.host)))?;
        let far = Arc::new(Far {
            host: order.host.clone(),
            port: order.port,
            name,
            connector: certificates::config(&order.check)?.into(),
        });
        let broken = |fault: io::Error| {
            Error::Unavailable(format!(
                "no socket for the TLS connection to the database can be made in {}: {fault}",
                std::env::temp_dir().display()
            ))
        };
        let folder = tempfile::Builder::new()
            .prefix("tidegate-pg-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(broken)?;
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).map_err(broken)?;
        Ok(Self {
            folder,
            accepting: tokio::spawn(accept(listener, far)),
        })
    }

    /// The folder with the socket.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

async fn accept(listener: UnixListener, far: Arc<Far>) {
    loop {
        match listener.accept().await {
            Ok((near, _)) => drop(tokio::spawn(carry(near, Arc::clone(&far)))),
            // Out of files, say: the caller's time limit tells.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// One connection, from its beginning to its end.
async fn carry(mut near: UnixStream, far: Arc<Far>) {
    let connected = match timeout(LIMIT, far.connect()).await {
        Ok(connected) => connected,
        Err(_) => Err(format!("no answer within {LIMIT:?}")),
    };
    match connected {
        // It ends when either side does; what is wrong then libpq sees for itself.
        Ok(mut stream) => {
            if let Ok(Ok(())) = timeout(LIMIT, introduce(&mut near, &mut stream)).await {
                drop(copy_bidirectional(&mut near, &mut stream).await);
            }
        }
        Err(why) => {
            let why = format!("TLS to {}:{}: {why}", far.host, far.port);
            drop(timeout(LIMIT, refuse(near, &why)).await);
        }
    }
}

impl Far {
    async fn connect(&self) -> Result<TlsStream<TcpStream>, String> {
        let address = (self.host.as_str(), self.port);
        let mut stream = TcpStream::connect(address)
            .await
            .map_err(|fault| format!("the server cannot be reached: {fault}"))?;
        drop(stream.set_nodelay(true));
        let answer = ask_for_tls(&mut stream)
            .await
            .map_err(|fault| format!("the server does not answer: {fault}"))?;
        if answer != b'S' {
            return Err("the server has no TLS; switch it on there (ssl = on)".to_owned());
        }
        let name = self.name.clone();
        self.connector
            .connect(name, stream)
            .await
            .map_err(|fault| format!("the server's certificate or handshake is refused: {fault}"))
    }
}

/// One byte and not more: what follows it must already be the handshake.
async fn ask_for_tls(stream: &mut TcpStream) -> io::Result<u8> {
    stream.write_all(&SSL_REQUEST).await?;
    stream.read_u8().await
}

/// Answers libpq's first message with an error.
///
/// Source: <https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-ERRORRESPONSE>
async fn refuse(mut near: UnixStream, why: &str) -> io::Result<()> {
    read_body(&mut near).await?;
    let mut fields = Vec::new();
    // 08001: a client that is unable to establish the connection.
    for (kind, text) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', "08001"), (b'M', why)] {
        fields.push(kind);
        fields.extend(text.bytes().filter(|byte| *byte != 0));
        fields.push(0);
    }
    fields.push(0);
    near.write_u8(b'E').await?;
    write_message(&mut near, &fields).await?;
    near.shutdown().await
}

/// Carries libpq's first message over and the answer back, up to how the server wants to know who it is.
async fn introduce(near: &mut UnixStream, far: &mut TlsStream<TcpStream>) -> io::Result<()> {
    let startup = read_body(near).await?;
    write_message(far, &startup).await?;
    loop {
        let kind = far.read_u8().await?;
        let mut body = read_body(far).await?;
        if kind == b'R' {
            body = without_binding(body);
        }
        near.write_u8(kind).await?;
        write_message(near, &body).await?;
        // Which protocol the server speaks comes before, if at all.
        if kind != b'v' {
            return Ok(());
        }
    }
}

/// libpq refuses a server that offers to bind a login to a TLS connection which libpq does not have. So that offer, one of
/// a list, is left out of the server's message.
///
/// Source: <https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-AUTHENTICATIONSASL>
fn without_binding(body: Vec<u8>) -> Vec<u8> {
    const SASL: [u8; 4] = [0, 0, 0, 10];
    let Some(mechanisms) = body.strip_prefix(&SASL) else {
        return body;
    };
    let mut kept = SASL.to_vec();
    for name in mechanisms.split_inclusive(|byte| *byte == 0) {
        if name != b"SCRAM-SHA-256-PLUS\0" {
            kept.extend(name);
        }
    }
    kept
}

/// What follows a length, which counts itself.
async fn read_body(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    if !(4..=MAX_FIRST_BYTES).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length as usize - 4];
    from.read_exact(&mut body).await?;
    Ok(body)
}

/// A length and what it is of.
async fn write_message(to: &mut (impl AsyncWrite + Unpin), body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 4).map_err(|_| io::ErrorKind::InvalidData)?;
    to.write_u32(length).await?;
    to.write_all(body).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres_url::Check;

    #[test]
    fn of_the_ways_to_log_in_only_those_that_libpq_has_are_left() {
        let offered = b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0".to_vec();
        assert_eq!(without_binding(offered), b"\0\0\0\x0aSCRAM-SHA-256\0\0");
        for other in [&b"\0\0\0\x05salt"[..], b"\0\0\0\0", b""] {
            assert_eq!(without_binding(other.to_vec()), other);
        }
    }

    #[tokio::test]
    async fn the_way_in_is_this_users_alone_and_goes_with_the_tunnel() {
        let tunnel = Tunnel::open(&TlsOrder {
            host: "127.0.0.1".to_owned(),
            port: 1,
            check: Check::Nothing,
        })
        .unwrap();
        let folder = tunnel.folder().to_owned();
        let mode = folder.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(tunnel);
        assert!(!folder.exists());
    }
}
