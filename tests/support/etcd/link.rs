//! Network link of a test: connections that can be delayed, held or cut.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

const BUFFER: usize = 64 << 10;

/// Condition of a link, for open and for new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Open,
    /// Data arrives with a delay, in both directions.
    Slow(Duration),
    /// Data does not arrive, and neither side notices: packets are dropped.
    Held,
    /// Data arrives at the server, and nothing comes back.
    Mute,
    /// Connections are reset, and refused.
    Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

/// Connections from one place to another.
#[derive(Clone)]
pub(crate) struct Link(Arc<watch::Sender<Condition>>);

impl Link {
    pub(crate) fn open() -> Self {
        Self(Arc::new(watch::Sender::new(Condition::Open)))
    }

    pub(crate) fn set(&self, condition: Condition) {
        self.0.send_replace(condition);
    }

    /// Resets all open connections and opens the link again.
    pub(crate) async fn reset(&self) {
        self.set(Condition::Cut);
        // Each connection subscribes to the condition.
        self.0.closed().await;
        self.set(Condition::Open);
    }

    pub(crate) fn is_cut(&self) -> bool {
        *self.0.borrow() == Condition::Cut
    }

    /// Carries the data of a connection until both sides have closed it or the link is cut.
    pub(crate) async fn carry(&self, mut client: TcpStream, mut server: TcpStream) {
        for socket in [&client, &server] {
            // Fails only for closed sockets.
            let _ = socket.set_nodelay(true);
        }
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let (there, back) = (self.0.subscribe(), self.0.subscribe());
        let both = async {
            // A failed connection ends in both directions, as a reset does.
            tokio::try_join!(
                pump(&mut from_client, &mut to_server, there, Direction::ToServer),
                pump(&mut from_server, &mut to_client, back, Direction::ToClient)
            )
        };
        let mut condition = self.0.subscribe();
        tokio::select! {
            _ = both => {}
            _ = condition.wait_for(|condition| *condition == Condition::Cut) => {
                // Resets the connections instead of closing them.
                for socket in [from_client.as_ref(), from_server.as_ref()] {
                    let _ = socket.set_zero_linger();
                }
            }
        }
    }
}

async fn pump(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut condition: watch::Receiver<Condition>,
    direction: Direction,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        let passes = |condition: &Condition| match condition {
            Condition::Open | Condition::Slow(_) => true,
            Condition::Mute => direction == Direction::ToServer,
            Condition::Held | Condition::Cut => false,
        };
        let now = *condition.wait_for(passes).await.map_err(io::Error::other)?;
        if let Condition::Slow(delay) = now {
            sleep(delay).await;
        }
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}
