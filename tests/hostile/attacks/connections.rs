//! H1: connections of clients without credentials, which once took all memory and all connections.
//!
//! The attackers have addresses of their own in 127.0.0.0/8, so that the limits of their addresses
//! do not concern the probe.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::{self, FuturesUnordered};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::frames::{Block, Connection, DATA, END_STREAM, End, Frame, MARK, PING, Writer};
use crate::pki::Shown;
use crate::plane;
use crate::row::{Finding, Form, Ground, Row, Seen, Table};
use crate::site::{Site, V1, get};
use crate::support::client::{Client, Identity, Request};
use crate::support::server::TestServer;

/// Name and value of SETTINGS_INITIAL_WINDOW_SIZE that keep all responses in the server.
const NO_WINDOW: (u16, u32) = (4, 0);
/// Handshakes of an attacker at a time.
const TOGETHER: usize = 16;
/// Time for which an attack goes on.
const DURATION: Duration = Duration::from_secs(3);
/// Longest wait of another client for a response. The probe has a thread of its own and stricter
/// limits; these clients share theirs with the attackers.
const PROMPT: Duration = Duration::from_secs(10);

pub(crate) fn tables(form: Form) -> Vec<Table> {
    let slow = Duration::from_millis(500);
    vec![
        Table::new("h1 a heads", heads(form)),
        Table::new("h1 b responses", responses(form)),
        Table::new("h1 c bodies", bodies(form))
            .on(Ground { answer_after: slow, ..Ground::with_plane(plane::everything) }),
        Table::new("h1 connections", connections(form)).on(Ground::with_plane(plane::everything)),
    ]
}

/// Unfinished heads of HTTP/1.1.
fn heads(form: Form) -> Vec<Row> {
    let count = form.of(600, 1_200);
    let row = |name: String, addresses: u8, count: usize, bytes: usize| {
        Row::script(name, move |site: Rc<Site>| async move {
            unfinished_heads(&site, addresses, count, bytes).await
        })
    };
    let (large, spread) = (form.of(200, 1_200), form.of(480, 1_200));
    vec![
        row(format!("{large} of 1 MB from one address"), 1, large, 1_000_000).memory(48).cpu(20.0),
        row(format!("{count} of 120 kB from one address"), 1, count, 120_000).memory(48).cpu(20.0),
        row(format!("{spread} of 120 kB from 12 addresses"), 12, spread, 120_000)
            .memory(form.of(96, 160))
            .cpu(20.0),
    ]
}

/// Responses that no client reads.
fn responses(form: Form) -> Vec<Row> {
    let row = |count: usize, addresses: u8, references: usize| {
        let from =
            if addresses == 1 { String::new() } else { format!(" from {addresses} addresses") };
        let name = format!("{count} connections{from} with 950 GETs of {references} references");
        Row::script(name, move |site: Rc<Site>| async move {
            unread_responses(&site, addresses, count, references)
                .await
                .map_err(|why| why.to_string())
        })
        .memory(form.of(48, 80))
        .cpu(form.of(20.0, 60.0))
    };
    vec![
        row(form.of(8, 100), 1, 0),
        row(form.of(4, 100), 1, 30),
        row(form.of(2, 100), 1, 250),
        row(form.of(10, 100), 10, 0),
    ]
}

/// Bodies of requests whose tokens are being reviewed.
fn bodies(form: Form) -> Vec<Row> {
    let count = form.of(20, 200);
    vec![
        Row::script(
            format!("{count} connections with unknown tokens"),
            move |site: Rc<Site>| async move {
                unread_bodies(&site, count).await.map_err(|why| why.to_string())
            },
        )
        .memory(form.of(64, 112))
        .cpu(form.of(20.0, 60.0)),
    ]
}

/// Connections themselves.
fn connections(form: Form) -> Vec<Row> {
    let count = form.of(3_000, 10_000);
    vec![
        Row::script(
            format!("{count} connections from one address"),
            move |site: Rc<Site>| async move { crowded_address(&site, count).await },
        )
        .memory(16)
        .cpu(20.0),
        Row::script("connections from 20 addresses", move |site: Rc<Site>| async move {
            crowded_server(&site, 20).await
        })
        .memory(32)
        .cpu(20.0),
        Row::script("handshakes from one address", move |site: Rc<Site>| async move {
            handshakes(&site, form.of(DURATION, 5 * DURATION)).await
        })
        .memory(48)
        .cpu(form.of(10.0, 30.0)),
    ]
}

/// The address of an attacker.
fn address(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 1, number).into()
}

/// A client without credentials at the address of an attacker.
fn stranger(site: &Site, number: u8) -> Client {
    site.server.client(Identity::default()).at(address(number))
}

/// The clients of `count` connections, spread over addresses.
fn strangers(site: &Site, addresses: u8, count: usize) -> Vec<Client> {
    (0..addresses).cycle().take(count).map(|number| stranger(site, number)).collect()
}

/// Raises the limit on open files to the hard limit.
fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .expect("the soft limit may be raised to the hard limit");
}

async fn unfinished_heads(site: &Site, addresses: u8, count: usize, bytes: usize) -> Finding {
    raise_open_files();
    let head = format!("GET /livez HTTP/1.1\r\nHost: a\r\nx: {}", "a".repeat(bytes));
    let head = head.as_bytes();
    let sent = stream::iter(strangers(site, addresses, count)).map(|client| async move {
        let mut connection = client.open(&["http/1.1"]).await?;
        // A server that refuses closes the connection.
        let _ = timeout(DURATION, connection.write_all(head)).await;
        let _ = connection.flush().await;
        Ok::<_, io::Error>(connection)
    });
    let open: Vec<_> = sent.buffer_unordered(TOGETHER).collect().await;
    let refused = open.iter().filter(|each| each.is_err()).count();
    let answers = join_all(open.into_iter().flatten().map(first_status)).await;
    let with = |status: &str| answers.iter().filter(|each| *each == status).count();
    let note = format!(
        "{refused} connections refused, 429 x {}, 431 x {}, {} without a response",
        with("429"),
        with("431"),
        with("")
    );
    match with("200") {
        0 => Ok(Seen { largest: 0, note }),
        count => Err(format!("{count} unfinished requests get a response: {note}")),
    }
}

/// Status of the response on a connection; empty if none arrives in time.
async fn first_status(mut connection: TlsStream<TcpStream>) -> String {
    let mut line = [0; 12];
    match timeout(DURATION, connection.read_exact(&mut line)).await {
        Ok(Ok(_)) => String::from_utf8_lossy(&line[9..]).into_owned(),
        _ => String::new(),
    }
}

async fn unread_responses(
    site: &Site,
    addresses: u8,
    count: usize,
    references: usize,
) -> io::Result<Seen> {
    const GETS: usize = 950;
    let attacks = strangers(site, addresses, count).into_iter().map(|client| async move {
        let Connection { reader, mut writer, .. } = Connection::open(&client, &[NO_WINDOW]).await?;
        let reader = tokio::spawn(reader.drain());
        for round in 0..GETS {
            let stream = writer.next_stream();
            let frames = with_references(references, round == 0).frames(stream, END_STREAM);
            if writer.send(&frames).await.is_err() {
                break;
            }
        }
        // A server that closed the connection does not read the final PING either.
        let _ = writer.send(&[Frame::new(PING, 0, 0, MARK)]).await;
        Ok::<(Writer, End), io::Error>((writer, reader.await??))
    });
    // All connections stay open until the last attacker has sent everything.
    let open = join_all(attacks).await.into_iter().collect::<io::Result<Vec<_>>>()?;
    let goes_on = open.iter().filter(|(_, end)| matches!(end, End::GoesOn)).count();
    Ok(Seen { largest: 0, note: format!("{goes_on} connections go on") })
}

/// A request with references to an entry of the dynamic table, which the first request adds.
fn with_references(count: usize, is_first: bool) -> Block {
    let mut block = Block::request("GET", b"/readyz", "");
    if count == 0 {
        return block;
    }
    if is_first {
        // A literal with incremental indexing, whose value has 3,900 bytes.
        block.0.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0xbd, 0x1d]);
        block.0.extend(std::iter::repeat_n(b'a', 127 + 0x3d + (0x1d << 7)));
    }
    block.0.extend(std::iter::repeat_n(0xbe, count));
    block
}

async fn unread_bodies(site: &Site, count: usize) -> io::Result<Seen> {
    /// Requests on a connection.
    const POSTS: usize = 16;
    /// Data frames of a request: as many as the initial window of a stream takes.
    const FRAMES: usize = 4;
    let attacks = (0..count).map(|number| async move {
        let client = stranger(site, u8::try_from(number % 20).expect("a small number"));
        let mut connection = Connection::open(&client, &[]).await?;
        // The window of the connection is open once the server has sent its settings.
        connection.ask(&Block::request("GET", b"/livez", "")).await?;
        let Connection { reader, mut writer, .. } = connection;
        let reader = tokio::spawn(reader.drain());
        let path = format!("{V1}/namespaces/vic/imagestreams");
        for post in 0..POSTS {
            let token = format!("unknown-{number}-{post}");
            let begun = writer.begin(&Block::request("POST", path.as_bytes(), &token), 0).await;
            let Ok(stream) = begun else { break };
            let data = Frame::new(DATA, 0, stream, vec![b' '; 16 << 10]);
            if writer.send(&vec![data; FRAMES]).await.is_err() {
                break;
            }
        }
        let _ = writer.send(&[Frame::new(PING, 0, 0, MARK)]).await;
        Ok::<(Writer, End), io::Error>((writer, reader.await??))
    });
    let open = join_all(attacks).await.into_iter().collect::<io::Result<Vec<_>>>()?;
    let goes_on = open.iter().filter(|(_, end)| matches!(end, End::GoesOn)).count();
    Ok(Seen { largest: 0, note: format!("{goes_on} connections go on") })
}

/// TCP connections on which the client is silent.
///
/// # Errors
/// Another client is not served meanwhile.
async fn silent_connections(
    site: &Site,
    client: &Client,
    count: usize,
) -> Result<Vec<TcpStream>, String> {
    /// Fewer than the listener's queue. In a full queue connections seem open that the server has
    /// not seen.
    const BATCH: usize = 200;
    let mut open = Vec::new();
    for number in 0..count {
        if number % BATCH == 0 {
            is_served("a client at another address", &stranger(site, 250)).await?;
        }
        open.extend(client.connect_tcp().await);
    }
    Ok(open)
}

/// Number of connections that the server closes, up to `expected`.
async fn closed(connections: &mut [TcpStream], expected: usize) -> usize {
    let ends: FuturesUnordered<_> =
        connections.iter_mut().map(|each| async { each.read(&mut [0]).await }).collect();
    let mut count = 0;
    let mut ends = ends.take(expected);
    while let Ok(Some(_)) = timeout(PROMPT, ends.next()).await {
        count += 1;
    }
    count
}

/// # Errors
/// The client does not get the image in time.
async fn is_served(who: &str, client: &Client) -> Result<(), String> {
    let request = Request::new("GET", "/livez").header("x-remote-user", "jo");
    match timeout(PROMPT, client.send_unchecked(request)).await {
        Ok(Ok(answer)) if answer.status == 200 => Ok(()),
        other => Err(format!("{who} is not served: {other:?}")),
    }
}

async fn crowded_address(site: &Site, count: usize) -> Finding {
    /// Default of `--max-connections-per-address`.
    const LIMIT: usize = 400;
    raise_open_files();
    let proxy = site.server.client(site.pki.identity(Shown::Proxy)).at(address(1));
    is_served("a front proxy", &proxy).await?;
    let _beside = silent_connections(site, &stranger(site, 1), 500).await?;
    let open = silent_connections(site, &stranger(site, 0), count).await?;
    // The server accepts connections in order, so it has decided on all of them.
    is_served("a front proxy at a crowded address", &proxy).await?;
    is_served("a client at another address", &stranger(site, 2)).await?;
    all_but(LIMIT, open).await
}

async fn crowded_server(site: &Site, addresses: u8) -> Finding {
    /// Default of `--max-connections`.
    const LIMIT: usize = 2_048;
    raise_open_files();
    let proxy = site.server.client(site.pki.identity(Shown::Proxy)).at(address(200));
    is_served("a front proxy", &proxy).await?;
    let mut open = Vec::new();
    for number in 0..addresses {
        open.extend(silent_connections(site, &stranger(site, number), 200).await?);
    }
    is_served("a front proxy", &proxy).await?;
    is_served("a client at another address", &stranger(site, 201)).await?;
    all_but(LIMIT, open).await
}

/// # Errors
/// The server leaves more than `limit` of the connections open.
async fn all_but(limit: usize, mut open: Vec<TcpStream>) -> Finding {
    let (count, expected) = (open.len(), open.len().saturating_sub(limit));
    let closed = closed(&mut open, expected).await;
    let note = format!("{closed} of {count} connections refused");
    match closed == expected {
        true => Ok(Seen { largest: 0, note }),
        false => Err(format!("{note}, not {expected}")),
    }
}

async fn handshakes(site: &Site, duration: Duration) -> Finding {
    /// Default of `--max-handshakes-per-address`.
    const RATE: f64 = 200.0;
    let begun = Instant::now();
    let attackers = (0..TOGETHER).map(|_| async {
        let client = stranger(site, 0);
        let mut count = 0_u32;
        while begun.elapsed() < duration {
            count += u32::from(client.open(&["h2"]).await.is_ok());
        }
        count
    });
    let others = async {
        let vic = site.vic.clone().at(address(1));
        let path = get("namespaces/vic/imagestreams/w");
        let mut longest = Duration::ZERO;
        while begun.elapsed() < duration {
            let asked = Instant::now();
            let answer = timeout(PROMPT, vic.send(path.clone())).await;
            longest = longest.max(asked.elapsed());
            if !matches!(&answer, Ok(Ok(answer)) if [200, 403].contains(&answer.status)) {
                return Err(format!("a client at another address is not served: {answer:?}"));
            }
        }
        Ok(longest)
    };
    let (counts, longest) = futures_util::join!(join_all(attackers), others);
    let count: u32 = counts.into_iter().sum();
    let max = RATE * (2.0 + begun.elapsed().as_secs_f64());
    if f64::from(count) > max {
        return Err(format!("{count} handshakes, at most {max:.0}"));
    }
    Ok(Seen { largest: 0, note: format!("{count} handshakes, others wait {:?}", longest?) })
}
