//! The least that any gateway costs: it copies bytes between its clients and a socket and looks at none.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;

/// The relay; ends when dropped.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Relay {
    /// Copies what comes to what listens at `to`, and back.
    pub(crate) async fn start(to: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                open.spawn(relay(client, to.clone()));
            }
        });
        Self { address, _tasks: tasks }
    }
}

async fn relay(mut client: TcpStream, to: PathBuf) {
    client.set_nodelay(true).unwrap();
    let mut engine = UnixStream::connect(to).await.unwrap();
    let _closed = copy_bidirectional(&mut client, &mut engine).await;
}
