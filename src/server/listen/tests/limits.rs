//! The limits of connections and of their requests.

use std::net::IpAddr;

use crate::telemetry::connection_metrics::ConnectionRefusal;

use super::*;

fn with_headers(uri: &str, count: usize, size: usize) -> Request<Empty<Bytes>> {
    let mut request = request(uri);
    for _ in 0..count {
        request.headers_mut().append("x-remote-group", "g".repeat(size).parse().unwrap());
    }
    request
}

/// The status of a response; 431 if the server closes the connection before it has read all.
async fn status_of(sent: impl Future<Output = hyper::Result<Response<Incoming>>>) -> u16 {
    within_deadline(sent).await.map_or(431, |response| response.status().as_u16())
}

#[tokio::test]
async fn http1_headers_are_limited_in_size_and_number() {
    let server = start(ConnectionLimits::default()).await;
    let proxy = || Some(server.proxies.proxy());
    for (count, size, status, identity) in [
        (6, 10_000, 200, None),
        (7, 10_000, 431, None),
        (7, 10_000, 431, Some(stranger())),
        (90, 8, 200, None),
        (400, 8, 431, None),
        (400, 8, 431, Some(stranger())),
        (9, 100_000, 200, proxy()),
        (12, 100_000, 431, proxy()),
        (4_900, 8, 200, proxy()),
        (5_100, 8, 431, proxy()),
    ] {
        let (mut client, _) = server.http1(identity).await;
        let seen = status_of(client.send_request(with_headers("/", count, size))).await;
        assert_eq!(seen, status, "{count} lines of {size}");
    }
}

/// A client that writes its whole body before it reads gets the response to a request that is
/// refused early.
#[tokio::test]
async fn http1_response_arrives_although_the_body_is_not_read() {
    const BODY: usize = 2 << 20;
    let server = start(ConnectionLimits::default()).await;
    let mut stream = server.tls(b"http/1.1", None).await;
    let head = format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {BODY}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server has responded and closed its end by then.
    let mut start = [0; 12];
    within_deadline(stream.read_exact(&mut start)).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 405");
    within_deadline(stream.write_all(&vec![b' '; BODY])).await.unwrap();
    let mut rest = Vec::new();
    within_deadline(stream.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.ends_with(b"\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn the_url_does_not_count_as_http1_header() {
    let server = start(ConnectionLimits::default()).await;
    let url = format!("/?{}", "u".repeat(60_000));
    for (count, status) in [(6, 200), (7, 431)] {
        let (mut client, _) = server.http1(None).await;
        let seen = status_of(client.send_request(with_headers(&url, count, 10_000))).await;
        assert_eq!(seen, status, "{count} lines");
    }
}

#[tokio::test]
async fn http2_headers_are_limited_in_size() {
    let server = start(ConnectionLimits::default()).await;
    for (count, size, status, identity) in [
        (12, 10_000, 200, None),
        (14, 10_000, 431, None),
        (14, 10_000, 431, Some(stranger())),
        (600, 8, 200, None),
        (9, 100_000, 200, Some(server.proxies.proxy())),
        (11, 100_000, 431, Some(server.proxies.proxy())),
    ] {
        // A client that has the settings of the server refuses to send more.
        let (mut client, _) = server.http2_as(identity).await;
        text(within_deadline(client.send_request(request("https://localhost/"))).await.unwrap())
            .await;
        let sent = client.send_request(with_headers("https://localhost/", count, size));
        assert_eq!(status_of(sent).await, status, "{count} lines of {size}");
    }
}

/// Reads until the server closes the connection.
async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    // A server that closes before it has read all may reset the connection.
    let _ = within_deadline(stream.read_to_end(&mut bytes)).await;
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn an_unfinished_head_without_memory_gets_429() {
    // One address has 32 KiB.
    let limits = ConnectionLimits { request_memory: 256 << 10, ..ConnectionLimits::default() };
    let server = start(limits).await;
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nx: {}", "v".repeat(36 << 10));
    let mut held = server.tls(b"http/1.1", None).await;
    held.write_all(head.as_bytes()).await.unwrap();
    // The server has read the first head when there is no memory for the second.
    let refused = loop {
        let mut second = server.tls(b"http/1.1", None).await;
        second.write_all(head.as_bytes()).await.unwrap();
        second.write_all(b"\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        within_deadline(second.read_exact(&mut first)).await.unwrap();
        if &first != b"HTTP/1.1 200" {
            break String::from_utf8(first.to_vec()).unwrap() + &read_all(&mut second).await;
        }
    };
    assert!(
        refused.starts_with("HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\n"),
        "{refused}"
    );
    assert!(server.metrics.refusals(ConnectionRefusal::Memory) > 0);
    let (mut small, _) = server.http1(None).await;
    text(within_deadline(small.send_request(request("/"))).await.unwrap()).await;
    let (mut proxy, _) = server.http1(Some(server.proxies.proxy())).await;
    let large = with_headers("/", 9, 100_000);
    text(within_deadline(proxy.send_request(large)).await.unwrap()).await;
    // The first client completes its request.
    held.write_all(b"\r\n\r\n").await.unwrap();
    let mut response = [0; 12];
    within_deadline(held.read_exact(&mut response)).await.unwrap();
    assert_eq!(&response, b"HTTP/1.1 200");
}

#[tokio::test]
async fn streams_without_memory_get_429() {
    // Memory for two streams beyond the four that are free.
    let limits = ConnectionLimits { request_memory: 256 << 10, ..ConnectionLimits::default() };
    let mut server = start(limits).await;
    let (client, _) = server.http2().await;
    let ask = |uri: &str| tokio::spawn(client.clone().send_request(request(uri)));
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(ask("https://localhost/held"));
        within_deadline(server.held.recv()).await.unwrap();
    }
    let refused = within_deadline(ask("https://localhost/")).await.unwrap().unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (429, &"1".parse().unwrap())
    );
    assert_eq!(server.metrics.refusals(ConnectionRefusal::Memory), 1);
    server.release.add_permits(6);
    for response in held {
        assert_eq!(text(within_deadline(response).await.unwrap().unwrap()).await, "at last");
    }
    text(within_deadline(ask("https://localhost/")).await.unwrap().unwrap()).await;
}

#[tokio::test]
async fn connections_beyond_a_limit_are_closed() {
    let limits = ConnectionLimits { connections_per_address: 2, ..ConnectionLimits::default() };
    let server = start(limits).await;
    let first = server.tls(b"http/1.1", None).await;
    let _second = server.tls(b"http/1.1", None).await;
    let mut third = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(within_deadline(third.read(&mut [0])).await.unwrap_or(0), 0);
    assert_eq!(server.metrics.refusals(ConnectionRefusal::ConnectionsOfAddress), 1);
    let (mut other, _) = server.http1_from([127, 0, 0, 2].into()).await;
    text(within_deadline(other.send_request(request("/"))).await.unwrap()).await;
    drop(first);
    server.until_served(None).await;
}

#[tokio::test]
async fn connections_of_a_front_proxy_are_not_limited() {
    let limits = ConnectionLimits { connections_per_address: 1, ..ConnectionLimits::default() };
    let server = start(limits).await;
    // The address is exempt once the first handshake has ended.
    let mut clients = vec![server.until_served(Some(server.proxies.proxy())).await];
    for _ in 0..5 {
        clients.push(server.http1(Some(server.proxies.proxy())).await.0);
    }
    for client in &mut clients {
        text(within_deadline(client.send_request(request("/"))).await.unwrap()).await;
    }
    // A client at the same address has its own limit.
    let mut stranger = server.until_served(None).await;
    let mut refused = server.tls(b"http/1.1", None).await;
    assert_eq!(within_deadline(refused.read(&mut [0])).await.unwrap_or(0), 0);
    text(within_deadline(stranger.send_request(request("/"))).await.unwrap()).await;
}

#[tokio::test]
async fn handshakes_wait_for_their_rate_or_are_refused() {
    let handshake = Duration::from_secs(2);
    let limits = ConnectionLimits { handshakes_per_address: 1, handshake, ..Default::default() };
    let server = start(limits).await;
    // Two at once, two that wait up to two seconds, and the others are refused.
    let hello = client_hello(server.client_config(b"http/1.1", None));
    let begun = std::time::Instant::now();
    let mut outcomes = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&hello).await.unwrap();
        outcomes.push(tokio::spawn(async move {
            let read = within_deadline(stream.read(&mut [0])).await.unwrap_or(0);
            (read > 0).then(|| begun.elapsed())
        }));
    }
    let outcomes = futures_util::future::join_all(outcomes).await;
    let mut served: Vec<_> = outcomes.into_iter().filter_map(Result::unwrap).collect();
    served.sort();
    assert!((3..=5).contains(&served.len()), "{served:?}");
    assert!(served[2] >= Duration::from_millis(500), "{served:?}");
    assert!(server.metrics.refusals(ConnectionRefusal::Handshakes) >= 3);
    let (mut other, _) = server.http1_from([127, 0, 0, 2].into()).await;
    text(within_deadline(other.send_request(request("/"))).await.unwrap()).await;
}

#[tokio::test]
async fn a_connection_ends_when_the_class_of_its_client_changes() {
    let limits = ConnectionLimits { send: SHORT, ..ConnectionLimits::default() };
    let server = start(limits).await;
    let (mut client, end) = server.http1(Some(server.proxies.proxy())).await;
    text(within_deadline(client.send_request(request("/"))).await.unwrap()).await;
    server._trusted.send_replace(Proxies::new().trusted());
    let _ = within_deadline(end).await.unwrap();
}

impl Server {
    /// A client that is connected once the server admits it.
    async fn until_served(&self, identity: Option<ClientIdentity>) -> Http1 {
        let identity = identity.map(Arc::new);
        within_deadline(async {
            loop {
                let identity = identity.as_ref().map(|identity| ClientIdentity {
                    certificate: identity.certificate.clone(),
                    key: identity.key.clone_key(),
                });
                if let Ok(stream) = self.try_tls(identity).await {
                    let io = TokioIo::new(stream);
                    let (mut client, connection) =
                        http1::Builder::new().handshake(io).await.unwrap();
                    tokio::spawn(connection);
                    if client.send_request(request("/")).await.is_ok() {
                        return client;
                    }
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    async fn try_tls(&self, identity: Option<ClientIdentity>) -> io::Result<TlsStream<TcpStream>> {
        let config = self.client_config(b"http/1.1", identity);
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// A client at another address.
    async fn http1_from(&self, from: IpAddr) -> (Http1, JoinHandle<hyper::Result<()>>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let config = self.client_config(b"http/1.1", None);
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let io = TokioIo::new(stream);
        let (sender, connection) = http1::Builder::new().handshake(io).await.unwrap();
        (sender, tokio::spawn(connection))
    }
}
