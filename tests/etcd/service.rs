//! A Service in front of servers: new connections go to one that is ready, as kube-proxy does with
//! EndpointSlices. Open connections stay where they are.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{interval, timeout};

use crate::link::Link;
use crate::support::client::{Client, Request};
use crate::support::server::{DEADLINE, TestServer, identity_of_admin};

/// Interval of the probes, and longest wait for the response to one.
const PROBE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(1);

/// The Service and its endpoints. Stops on drop.
pub(crate) struct Service {
    address: SocketAddr,
    endpoints: Arc<RwLock<Vec<Endpoint>>>,
    probes: JoinSet<()>,
    task: AbortHandle,
}

struct Endpoint {
    address: SocketAddr,
    is_ready: bool,
    /// Certificate that its clients must trust.
    certificate: String,
}

/// A client of a Service.
#[derive(Clone)]
pub(crate) struct ServiceClient {
    address: SocketAddr,
    endpoints: Arc<RwLock<Vec<Endpoint>>>,
}

impl Service {
    /// Starts a Service without endpoints.
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let endpoints = Arc::<RwLock<Vec<Endpoint>>>::default();
        let task = tokio::spawn(forward(listener, endpoints.clone())).abort_handle();
        Ok(Self { address, endpoints, probes: JoinSet::new(), task })
    }

    /// Adds a server, and waits until it is ready.
    pub(crate) async fn add(&mut self, server: &impl TestServer) {
        let (address, certificate) = (server.address(), server.certificate());
        self.endpoints.write().push(Endpoint { address, is_ready: false, certificate });
        self.probes.spawn(probe(server.admin(), address, self.endpoints.clone()));
        let (begun, mut ticks) = (Instant::now(), interval(PROBE / 2));
        while !self.is_ready(address) {
            assert!(begun.elapsed() < DEADLINE, "{address} is not ready");
            ticks.tick().await;
        }
    }

    fn is_ready(&self, address: SocketAddr) -> bool {
        self.endpoints.read().iter().any(|each| each.address == address && each.is_ready)
    }

    pub(crate) fn client(&self) -> ServiceClient {
        ServiceClient { address: self.address, endpoints: self.endpoints.clone() }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ServiceClient {
    /// A client that trusts all endpoints of now.
    pub(crate) fn admin(&self) -> Client {
        let endpoints = self.endpoints.read();
        let trusted: String = endpoints.iter().map(|each| each.certificate.as_str()).collect();
        Client::new(self.address, trusted.as_bytes(), identity_of_admin())
    }
}

/// Forwards each connection to the next ready endpoint. Closes it if none is ready.
async fn forward(listener: TcpListener, endpoints: Arc<RwLock<Vec<Endpoint>>>) {
    let mut count = 0;
    while let Ok((client, _)) = listener.accept().await {
        count += 1;
        let ready: Vec<SocketAddr> =
            endpoints.read().iter().filter(|each| each.is_ready).map(|each| each.address).collect();
        if ready.is_empty() {
            continue;
        }
        let address = ready[count % ready.len()];
        tokio::spawn(async move {
            if let Ok(server) = TcpStream::connect(address).await {
                Link::open().carry(client, server).await;
            }
        });
    }
}

/// Keeps the readiness of an endpoint current.
async fn probe(client: Client, address: SocketAddr, endpoints: Arc<RwLock<Vec<Endpoint>>>) {
    let mut ticks = interval(PROBE);
    loop {
        ticks.tick().await;
        let request = Request::new("GET", "/readyz?exclude=etcd");
        let answer = timeout(PATIENCE, client.send_unchecked(request)).await;
        let is_ready = matches!(answer, Ok(Ok(answer)) if answer.status == 200);
        let mut endpoints = endpoints.write();
        let endpoint = endpoints.iter_mut().find(|each| each.address == address);
        endpoint.expect("endpoints are not removed").is_ready = is_ready;
    }
}
