//! TLS to PostgreSQL: a tunnel in front of libpq.
//!
//! libpq is built without a TLS library, and rustls is in this program anyway. So libpq connects to a socket in a folder
//! that only this user can enter; for each connection the tunnel connects to the server, asks it for TLS as the protocol
//! has it, checks the certificate, and from then on copies bytes both ways. libpq sends nothing before its first message
//! was accepted here, so neither a name nor a password leaves the machine in plain text.
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
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
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

/// libpq's first message is a name, a database and a few settings.
const MAX_STARTUP_BYTES: u32 = 10_000;

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
        Ok(mut stream) => drop(copy_bidirectional(&mut near, &mut stream).await),
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
    read_startup(&mut near).await?;
    let mut fields = Vec::new();
    // 08001: a client that is unable to establish the connection.
    for (kind, text) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', "08001"), (b'M', why)] {
        fields.push(kind);
        fields.extend(text.bytes().filter(|byte| *byte != 0));
        fields.push(0);
    }
    fields.push(0);
    let length = u32::try_from(fields.len() + 4).unwrap_or(u32::MAX);
    near.write_u8(b'E').await?;
    near.write_u32(length).await?;
    near.write_all(&fields).await?;
    near.shutdown().await
}

async fn read_startup(near: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let length = near.read_u32().await?.clamp(4, MAX_STARTUP_BYTES) - 4;
    let mut rest = near.take(length.into());
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres_url::Check;

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
