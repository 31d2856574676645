//! Floods of HTTP/2 frames on one connection. The server may end the connection, and must serve all
//! others.

use std::io;
use std::rc::Rc;

use crate::frames::{
    ACK, Block, CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, End, Frame, HEADERS, MARK,
    PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use crate::row::{Form, Row, Seen, Table};
use crate::site::Site;

pub(crate) fn table(form: Form) -> Table {
    let n = form.of(20_000, 300_000);
    let rows: Vec<Row> = vec![
        requests("rapid reset", n, move |stream, _| vec![opened(stream), reset(stream)]),
        requests("reset of lists", n / 4, |stream, _| {
            let list = Block::request("GET", b"/apis/image.openshift.io/v1/images", "token-of-mal");
            vec![list.frames(stream, END_STREAM).remove(0), reset(stream)]
        }),
        flood("made the server reset, by windows of zero", n, move |stream, _| {
            vec![opened(stream), Frame::new(WINDOW_UPDATE, 0, stream, [0; 4])]
        }),
        requests("made the server reset, by windows too large", n, move |stream, _| {
            let most = (u32::MAX >> 1).to_be_bytes();
            vec![posted(stream), Frame::new(WINDOW_UPDATE, 0, stream, most)]
        }),
        flood("made the server reset, by data after the end", n, move |stream, _| {
            vec![opened(stream), Frame::new(DATA, END_STREAM, stream, [0; 1])]
        }),
        requests("made the server reset, by dependence on itself", n, move |stream, _| {
            let mut payload = stream.to_be_bytes().to_vec();
            payload.push(0);
            vec![opened(stream), Frame::new(PRIORITY, 0, stream, payload)]
        }),
        flood("settings", n, |_, _| vec![Frame::new(SETTINGS, 0, 0, [])]),
        flood("settings that change the window", n, |_, round| {
            let window = u32::try_from(round % 2).expect("the value is 0 or 1").to_be_bytes();
            vec![Frame::new(SETTINGS, 0, 0, [&[0, 4], &window[..]].concat())]
        }),
        flood("settings that change the table", n, |_, round| {
            let size = u32::try_from(round % 2 * 4096).expect("the value fits").to_be_bytes();
            vec![Frame::new(SETTINGS, 0, 0, [&[0, 1], &size[..]].concat())]
        }),
        flood("ping", n, |_, _| vec![Frame::new(PING, 0, 0, [0; 8])]),
        flood("answers to pings that were not asked", n, |_, _| {
            vec![Frame::new(PING, ACK, 0, [0; 8])]
        }),
        flood("priority", n, |stream, _| vec![Frame::new(PRIORITY, 0, stream, [0, 0, 0, 0, 1])]),
        flood("priority of one stream", n, |_, _| {
            vec![Frame::new(PRIORITY, 0, 1, [0, 0, 0, 0, 1])]
        }),
        flood("empty data", n, |stream, round| {
            let data = Frame::new(DATA, 0, 1, []);
            if round == 0 { vec![posted(stream)] } else { vec![data] }
        }),
        flood("data of padding", n / 20, |stream, round| {
            let data = Frame::new(DATA, 8, 1, [vec![255], vec![0; 255]].concat());
            if round == 0 { vec![posted(stream)] } else { vec![data] }
        }),
        flood("windows by one byte", n, |_, _| vec![Frame::new(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1])]),
        flood("empty continuation", n, |stream, round| match round {
            0 => vec![Frame::new(HEADERS, 0, stream, [0x82])],
            _ => vec![Frame::new(CONTINUATION, 0, 1, [])],
        }),
        flood("large continuation", n / 40, |stream, round| match round {
            0 => vec![Frame::new(HEADERS, 0, stream, [0x82])],
            _ => {
                vec![Frame::new(CONTINUATION, 0, 1, Block::default().with("x", &[b'a'; 16_000]).0)]
            }
        }),
        flood("one entry of the table a thousand times", n / 100, |stream, round| {
            table_bomb(stream, round, 1_000)
        }),
        flood("one entry of the table ten thousand times", n / 1_000, |stream, round| {
            table_bomb(stream, round, 10_000)
        }),
        flood("streams that never end", n / 10, move |stream, _| vec![posted(stream)]),
        flood("unknown frames", n, |_, _| vec![Frame::new(0xfa, 0xff, 0, [0; 64])]),
        flood("headers again on a closed stream", n, move |_, _| vec![opened(1)]),
        flood("stream with an even number", 10, move |_, _| vec![opened(2)]),
        flood("frame over the limit", 2, |_, _| vec![Frame::new(DATA, 0, 1, vec![0; 20_000])]),
        flood("settings of a wrong size", 2, |_, _| vec![Frame::new(SETTINGS, 0, 0, [0; 5])]),
        flood("continuation without headers", 2, |_, _| {
            vec![Frame::new(CONTINUATION, END_HEADERS, 1, [0x82])]
        }),
        flood("table size over the limit", 2, |stream, _| {
            vec![Frame::new(
                HEADERS,
                END_HEADERS | END_STREAM,
                stream,
                [0x3f, 0xff, 0xff, 0xff, 0x07],
            )]
        }),
        flood("integer without end", 2, |stream, _| {
            vec![Frame::new(
                HEADERS,
                END_HEADERS | END_STREAM,
                stream,
                [&[0x7f][..], &[0xff; 64]].concat(),
            )]
        }),
    ];
    Table::new("http2 floods", rows).shared()
}

/// Request that the server serves from memory.
fn opened(stream: u32) -> Frame {
    Block::request("GET", b"/livez", "").frames(stream, END_STREAM).remove(0)
}

/// Start of a request whose body never arrives.
fn posted(stream: u32) -> Frame {
    Block::request("POST", b"/apis/image.openshift.io/v1/images", "token-of-mal")
        .frames(stream, 0)
        .remove(0)
}

fn reset(stream: u32) -> Frame {
    Frame::new(RST_STREAM, 0, stream, [0, 0, 0, 8])
}

/// Header of 3,900 bytes that is stored in the dynamic table once and then referenced by one byte
/// each time.
fn table_bomb(stream: u32, round: usize, times: usize) -> Vec<Frame> {
    let mut block = Block::request("GET", b"/livez", "");
    if round == 0 {
        block.0.push(0x40);
        block.0.extend_from_slice(&[1, b'x', 0x7f, 0xbd, 0x1d]);
        block.0.extend(std::iter::repeat_n(b'a', 127 + 0x3d + (0x1d << 7)));
    }
    block.0.extend(std::iter::repeat_n(0xbe, times));
    block.frames(stream, END_STREAM)
}

/// Sends frames on a new stream each round and reads all responses. The server may end the
/// connection.
fn flood(
    name: &str,
    rounds: usize,
    frames: impl Fn(u32, usize) -> Vec<Frame> + Clone + 'static,
) -> Row {
    Row::script(name, move |site: Rc<Site>| {
        let frames = frames.clone();
        async move { send(&site, rounds, frames).await.map_err(|why| why.to_string()) }
    })
    .cpu(2.0 + rounds as f64 / 10_000.0)
}

/// A flood of requests that the server starts to serve. Together they may cost as much CPU
/// time as regular requests, measured before on the same server.
fn requests(
    name: &str,
    rounds: usize,
    frames: impl Fn(u32, usize) -> Vec<Frame> + Clone + 'static,
) -> Row {
    Row::script(name, move |site: Rc<Site>| {
        let frames = frames.clone();
        async move { compare(&site, rounds, frames).await.map_err(|why| why.to_string()) }
    })
    .cpu(4.0 + rounds as f64 / 2_000.0)
}

async fn compare(
    site: &Site,
    rounds: usize,
    frames: impl Fn(u32, usize) -> Vec<Frame>,
) -> io::Result<Seen> {
    /// CPU seconds that the probes cost.
    const PROBES: f64 = 0.5;
    /// Rounds for each regular request.
    const SHARE: usize = 10;
    let start = site.cpu_seconds()?;
    send_regular(site, rounds / SHARE).await?;
    let between = site.cpu_seconds()?;
    let seen = send(site, rounds, frames).await?;
    let regular = (between - start) * SHARE as f64;
    let cpu = site.cpu_seconds()? - between;
    let note = format!("{}: {cpu:.1} s, regular requests {regular:.1} s", seen.note);
    match cpu <= PROBES + regular {
        true => Ok(Seen { note, ..seen }),
        false => Err(io::Error::other(note)),
    }
}

/// Sends regular requests on one connection, each of which is authenticated and authorized.
async fn send_regular(site: &Site, count: usize) -> io::Result<()> {
    const PATH: &[u8] = b"/apis/image.openshift.io/v1/namespaces/mal/imagestreams/none";
    let mut connection = Connection::open(&site.mal, &[]).await?;
    let block = Block::request("GET", PATH, "token-of-mal");
    for _ in 0..count {
        connection.ask(&block).await?;
        // A response has less than 1 KiB.
        let window = Frame::new(WINDOW_UPDATE, 0, 0, [0, 0, 4, 0]);
        connection.writer.send(&[window]).await?;
    }
    Ok(())
}

async fn send(
    site: &Site,
    rounds: usize,
    frames: impl Fn(u32, usize) -> Vec<Frame>,
) -> io::Result<Seen> {
    const BATCH: usize = 100;
    let Connection { reader, mut writer, .. } = Connection::open(&site.mal, &[]).await?;
    let reader = tokio::spawn(reader.drain());
    let mut sent = 0;
    while sent < rounds {
        let mut batch = Vec::new();
        for round in sent..rounds.min(sent + BATCH) {
            let stream = writer.next_stream();
            batch.extend(frames(stream, round));
        }
        if writer.send(&batch).await.is_err() {
            break;
        }
        sent += BATCH;
    }
    // A server that closed the connection does not read the final PING either.
    let _ = writer.send(&[Frame::new(PING, 0, 0, MARK)]).await;
    let end = match reader.await? {
        Ok(End::GoesOn) => "goes on".to_owned(),
        Ok(End::Closed(code)) => format!("closed with {code:?}"),
        Err(why) => return Err(why),
    };
    Ok(Seen { largest: 0, note: format!("{} of {rounds} rounds, {end}", sent.min(rounds)) })
}
