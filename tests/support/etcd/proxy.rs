//! Proxies of a test. A [`Front`] stands between a server and one member of etcd, a [`PeerProxy`]
//! between one member and the others.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::link::Link;

/// Forwards connections to one address.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    pub(crate) link: Link,
    task: AbortHandle,
}

/// HTTP proxy of one member. The member names the others by host, so that the proxy can tell its
/// connections apart.
pub(crate) struct PeerProxy {
    pub(crate) address: SocketAddr,
    /// Links to the other members, by host.
    pub(crate) links: BTreeMap<String, Link>,
    task: AbortHandle,
}

impl Front {
    pub(crate) fn start(target: SocketAddr) -> io::Result<Self> {
        let (listener, address) = listen()?;
        let link = Link::open();
        let carried = link.clone();
        let forward = async move {
            while let Ok((client, _)) = listener.accept().await {
                let link = carried.clone();
                tokio::spawn(async move {
                    if !link.is_cut()
                        && let Ok(server) = TcpStream::connect(target).await
                    {
                        link.carry(client, server).await;
                    }
                });
            }
        };
        let task = tokio::spawn(forward).abort_handle();
        Ok(Self { address, link, task })
    }
}

impl PeerProxy {
    /// Starts a proxy to members at these addresses, by host.
    pub(crate) fn start(members: BTreeMap<String, SocketAddr>) -> io::Result<Self> {
        let (listener, address) = listen()?;
        let links: BTreeMap<String, Link> =
            members.keys().map(|host| (host.clone(), Link::open())).collect();
        let known: BTreeMap<String, (SocketAddr, Link)> = members
            .into_iter()
            .map(|(host, address)| (host.clone(), (address, links[&host].clone())))
            .collect();
        let known = Arc::new(known);
        let forward = async move {
            while let Ok((client, _)) = listener.accept().await {
                let known = known.clone();
                tokio::spawn(async move {
                    // A member tries again after a failed connection.
                    let _ = connect(client, &known).await;
                });
            }
        };
        let task = tokio::spawn(forward).abort_handle();
        Ok(Self { address, links, task })
    }
}

/// Serves one CONNECT request.
async fn connect(
    client: TcpStream,
    known: &BTreeMap<String, (SocketAddr, Link)>,
) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let mut first = String::new();
    client.read_line(&mut first).await?;
    let host = first.strip_prefix("CONNECT ").and_then(|rest| rest.split(':').next());
    let member = host.and_then(|host| known.get(host));
    let (address, link) = member.ok_or_else(|| io::Error::other(first.clone()))?;
    let mut line = String::new();
    while client.read_line(&mut line).await? > 2 {
        line.clear();
    }
    if link.is_cut() {
        return Ok(());
    }
    let server = TcpStream::connect(address).await?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    // The member waits for the response before it sends anything.
    link.carry(client.into_inner(), server).await;
    Ok(())
}

fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for PeerProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
