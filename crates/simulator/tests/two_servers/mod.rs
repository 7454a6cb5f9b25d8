//! Several servers behind one address, whose connections go to each in turn.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};

/// The address of a listener that hands its connections to these servers in turn, until the test ends.
pub(crate) async fn in_turn(servers: &[String]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let places = servers
        .iter()
        .map(|url| url.trim_start_matches("http://").to_owned());
    let places: Arc<[String]> = places.collect();
    tokio::spawn(async move {
        for turn in 0.. {
            let Ok((mut client, _)) = listener.accept().await else {
                return;
            };
            let place = places[turn % places.len()].clone();
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(place).await {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    format!("http://{address}")
}
