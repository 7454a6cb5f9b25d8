//! An S3 server over a folder, on every address of this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running server with one bucket. It ends with this value.
#[derive(Debug)]
pub struct S3 {
    port: u16,
    serving: JoinHandle<()>,
    folder: TempDir,
}

impl S3 {
    /// Starts a server for these credentials.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(bucket: &str, access_key: &str, secret_key: &str) -> Self {
        let folder = tempfile::tempdir().expect("no temporary folder");
        std::fs::create_dir(folder.path().join(bucket)).expect("no bucket");
        let files = FileSystem::new(folder.path()).expect("no S3 server");
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
        let service = builder.build();
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))
            .await
            .expect("no port");
        let port = listener.local_addr().expect("no address").port();
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    drop(server.serve_connection(TokioIo::new(socket), service).await);
                });
            }
        });
        Self {
            port,
            serving,
            folder,
        }
    }

    /// Where it is, by an address that is not loopback where the machine has one.
    pub fn endpoint(&self) -> String {
        format!("http://{}", SocketAddr::new(own_address(), self.port))
    }

    /// The names of the files in the bucket's folders.
    pub fn files(&self) -> Vec<String> {
        let (mut names, mut folders) = (vec![], vec![self.folder.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => folders.push(path),
                    path => names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned())),
                }
            }
        }
        names
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The address by which this machine would call another one; nothing is sent.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    socket.map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip())
}
