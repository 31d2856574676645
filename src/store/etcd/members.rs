//! The members of an etcd cluster: one client for each, and the choice between them.
//!
//! The balancer of the client library knows no health: it keeps sending a part of the calls to a
//! member that hangs. So each member has a client of its own. Calls go to the one that answered
//! last. A call without an answer after a short time is also sent to the next member, and the first
//! answer counts.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, KvClient, LeaseClient, MaintenanceClient, WatchClient};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::RwLock;
use tokio::time::{Instant, sleep_until, timeout};

use crate::store::{EtcdOptions, EtcdTls};

use super::error::CallError;
use super::tls_files::{TlsContent, read_tls};

/// The largest response that is decoded: that of a range, or of a watch that resumes.
const MAX_RESPONSE_BYTES: usize = 512 << 20;
/// The timeout of a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The interval and the timeout of pings, also on idle connections.
const PING: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(1));
/// The time between two rounds of attempts.
const ROUND_DELAY: Duration = Duration::from_millis(100);

/// The members of a cluster.
pub(super) struct Members {
    members: Vec<Member>,
    /// The index of the member that answered last.
    current: AtomicUsize,
    tls: EtcdTls,
    request_timeout: Duration,
    attempt_timeout: Duration,
}

struct Member {
    url: String,
    /// The clients; `None` before the first use and after the files for TLS have changed.
    clients: RwLock<Option<MemberClients>>,
}

/// The clients of one member.
#[derive(Clone)]
pub(super) struct MemberClients {
    pub(super) kv: KvClient,
    pub(super) watch: WatchClient,
    pub(super) lease: LeaseClient,
    pub(super) maintenance: MaintenanceClient,
}

impl Members {
    /// The members of these options. Connects to none.
    pub(super) fn new(options: &EtcdOptions) -> Self {
        let member = |url: &String| Member { url: url.clone(), clients: RwLock::default() };
        Self {
            members: options.servers.iter().map(member).collect(),
            current: AtomicUsize::new(0),
            tls: options.tls.clone(),
            request_timeout: options.request_timeout,
            attempt_timeout: options.attempt_timeout,
        }
    }

    /// The number of members.
    pub(super) fn count(&self) -> usize {
        self.members.len()
    }

    /// The index of the member that answered last.
    pub(super) fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// Prefers a member for the next calls.
    pub(super) fn prefer(&self, member: usize) {
        self.current.store(member % self.members.len(), Ordering::Relaxed);
    }

    /// The time after which another member is tried.
    pub(super) fn attempt_timeout(&self) -> Duration {
        self.attempt_timeout
    }

    /// The timeout of a request.
    pub(super) fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// The clients of a member.
    ///
    /// # Errors
    /// The files for TLS cannot be read.
    pub(super) async fn clients(&self, member: usize) -> Result<MemberClients, CallError> {
        let member = &self.members[member % self.members.len()];
        if let Some(clients) = &*member.clients.read() {
            return Ok(clients.clone());
        }
        let tls = read_tls(&self.tls).map_err(CallError::other)?;
        let clients =
            connect(&member.url, tls).await.map_err(|error| CallError::new(&member.url, error))?;
        *member.clients.write() = Some(clients.clone());
        Ok(clients)
    }

    /// Makes new connections for all further calls.
    pub(super) fn reconnect(&self) {
        for member in &self.members {
            *member.clients.write() = None;
        }
    }

    /// Sends a request that may be sent several times, and returns the first answer.
    ///
    /// # Errors
    /// An answer that no other member would change, or the last failure when the time is up.
    pub(super) async fn call<T, F>(
        &self,
        request: impl Fn(MemberClients) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let start = Instant::now();
        let deadline = start + self.request_timeout;
        let (first, count) = (self.current(), self.members.len());
        let attempt = |number: usize| {
            let (member, request) = ((first + number) % count, &request);
            async move { (member, self.once(member, request).await) }
        };
        let mut running = FuturesUnordered::new();
        running.push(attempt(0));
        let (mut started, mut next) = (1, start + self.attempt_timeout);
        let mut last = CallError::other("no member of etcd has answered in time");
        loop {
            tokio::select! {
                Some((member, result)) = running.next(), if !running.is_empty() => match result {
                    Ok(answer) => {
                        self.prefer(member);
                        return Ok(answer);
                    }
                    Err(error) if error.is_final() => return Err(error),
                    Err(error) => {
                        last = error;
                        let delay = if started % count == 0 { ROUND_DELAY } else { Duration::ZERO };
                        next = next.min(Instant::now() + delay);
                    }
                },
                () = sleep_until(next), if running.len() < count => {
                    running.push(attempt(started));
                    started += 1;
                    next = Instant::now() + self.attempt_timeout;
                }
                () = sleep_until(deadline) => return Err(last),
            }
        }
    }

    /// Sends a request once to the current member, with the timeout of a request. After a failure
    /// the next member is preferred.
    ///
    /// # Errors
    /// A `Failed` request may have been executed, or be executed later.
    pub(super) async fn call_once<T, F>(
        &self,
        request: impl FnOnce(MemberClients) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let member = self.current();
        let answer = match timeout(self.request_timeout, self.once(member, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::other(format!(
                "etcd at {} has not answered within {:?}",
                self.members[member].url, self.request_timeout
            ))),
        };
        if let Err(CallError::Failed(_)) = answer
            && self.current() == member
        {
            self.prefer(member + 1);
        }
        answer
    }

    /// Sends a request to one member.
    pub(super) async fn once<T, F>(
        &self,
        member: usize,
        request: impl FnOnce(MemberClients) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let clients = self.clients(member).await?;
        request(clients).await.map_err(|error| self.error(member, error))
    }

    /// The error of a call to a member.
    pub(super) fn error(&self, member: usize, error: etcd_client::Error) -> CallError {
        CallError::new(&self.members[member % self.members.len()].url, error)
    }
}

/// Creates the clients of a member. Connects with the first call.
async fn connect(url: &str, tls: TlsContent) -> Result<MemberClients, etcd_client::Error> {
    let (interval, ping_timeout) = PING;
    let mut options = ConnectOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_keep_alive(interval, ping_timeout)
        .with_keep_alive_while_idle(true)
        .with_require_leader(true);
    if url.starts_with("https://") {
        options = options.with_tls(tls.into());
    }
    let client = Client::connect([url], Some(options)).await?;
    Ok(MemberClients {
        kv: client.kv_client().max_decoding_message_size(MAX_RESPONSE_BYTES),
        watch: client.watch_client().max_decoding_message_size(MAX_RESPONSE_BYTES),
        lease: client.lease_client(),
        maintenance: client.maintenance_client(),
    })
}
