//! Streams of the maximum size: readers that read at once, readers that do not read at all, and all
//! attacks on memory at once, by several users.

use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use super::memory::with_tags;
use crate::bodies::{repeat, stream};
use crate::frames::{Block, Connection, END_STREAM};
use crate::row::{Finding, Form, Ground, Row, Seen, Table, all_at_once};
use crate::site::{Site, V1, apply, get, merge_patch, post};
use crate::support::client::{Client, Request};

const STREAMS: &str = "namespaces/mal/imagestreams";
const STREAM: &str = "namespaces/mal/imagestreams/s";
const TAGS: &str = "namespaces/mal/imagestreamtags";
/// Success, refusal by a limit, or a request to retry.
const ANSWERED: &[u16] = &[200, 404, 409, 413, 422, 429, 504];
/// Memory of the process in MiB: the limit of the manifests less an idle server.
const LIMIT: usize = 700;

/// The same limits for any number of worker threads, which stands for the number of cores.
pub(crate) fn table(form: Form, workers: usize) -> Table {
    let name = if workers == 2 { "h9 2 workers" } else { "h9 16 workers" };
    let (readers, unread) = (form.of(16, 64), form.of(32, 128));
    let of_targets = move |targets: &'static [&'static str]| {
        move || {
            let each = |target: &&str| vec![get(target); readers / targets.len()];
            targets.iter().flat_map(each).collect::<Vec<_>>()
        }
    };
    let read = |name: &str, targets: &'static [&'static str]| {
        Row::new(format!("{readers} readers of {name}"), ANSWERED, of_targets(targets))
            .after(move || large_stream(form))
            .memory(220)
            .cpu(form.of(60.0, 200.0))
            .answer(16 << 10)
    };
    let unread_row = |name: &str, path: &'static str| {
        Row::script(format!("{unread} unread {name}"), move |site: Rc<Site>| async move {
            unread_responses(&site, path, unread, form).await.map_err(|why| why.to_string())
        })
        .after(move || large_stream(form))
        .memory(220)
        .cpu(form.of(60.0, 200.0))
    };
    let rows = vec![
        read("a stream", &[STREAM]),
        read("a missing tag", &["namespaces/mal/imagestreamtags/s:none"]),
        read("one tag of a list", &["namespaces/mal/imagestreamtags?limit=1"]),
        unread_row("lists of streams", STREAMS),
        unread_row("lists of tags", TAGS),
        unread_row("watches", "namespaces/mal/imagestreams?watch=true"),
        Row::script("all attacks at once, by 8 users", move |site: Rc<Site>| async move {
            all_attacks(&site, form).await
        })
        .after(move || large_stream(form))
        .memory(LIMIT)
        .cpu(form.of(150.0, 900.0))
        .answer(16 << 10),
    ];
    Table::new(name, rows).on(Ground::with_workers(workers))
}

/// A stream near the maximum size, made by several patches.
fn large_stream(form: Form) -> Vec<Request> {
    let mut requests = vec![post(STREAMS, &stream("s"))];
    let per_patch = form.of(2_500, 5_000);
    requests.extend((0..4).map(|part| {
        let tag = |n: usize| format!(r#"{{"name":"t{part}-{n}","annotations":{{"a":"b"}}}}"#);
        let body = repeat(r#"{"spec":{"tags":["#, per_patch, tag, "]}}");
        crate::site::strategic_patch(STREAM, &body)
    }));
    requests
}

/// Responses on HTTP/2 whose client opens the window by a byte and does not read, of several users.
async fn unread_responses(
    site: &Site,
    path: &str,
    count: usize,
    form: Form,
) -> std::io::Result<Seen> {
    /// `SETTINGS_INITIAL_WINDOW_SIZE`.
    const WINDOW: u16 = 4;
    let users: Vec<_> = site.others.iter().enumerate().take(4).collect();
    let mut connections = Vec::new();
    for (number, client) in &users {
        let mut connection = Connection::open(client, &[(WINDOW, 1)]).await?;
        let (target, token) = (format!("{V1}/{path}"), format!("token-of-m{number}"));
        let request = Block::request("GET", target.as_bytes(), &token);
        for _ in 0..count / users.len() {
            connection.writer.begin(&request, END_STREAM).await?;
        }
        connections.push(connection);
    }
    // The server produces what it may during this time; nothing tells that it is done.
    sleep(form.of(Duration::from_secs(4), Duration::from_secs(20))).await;
    Ok(Seen { largest: 0, note: format!("{count} unread") })
}

/// Writes in a loop beside readers and unread responses. Each attacker has a share of his own.
async fn all_attacks(site: &Rc<Site>, form: Form) -> Finding {
    let end = Instant::now() + form.of(Duration::from_secs(15), Duration::from_secs(90));
    let tags = form.of(8_000, 49_000);
    let objects = repeat(r#"{"x":["#, 66_000, |_| r#"{"a":0}"#.into(), "]}");
    let applied = with_tags(tags);
    let rounds = site.others.iter().enumerate().map(|(number, client)| {
        let (objects, applied) = (objects.clone(), applied.clone());
        async move {
            let mut seen = Seen::default();
            while Instant::now() < end {
                let requests = match number % 4 {
                    0 => vec![forced_apply(number, &applied); 2],
                    1 => vec![merge_patch(STREAM, &objects); form.of(10, 40)],
                    2 => vec![get(STREAM); 16],
                    _ => vec![get("namespaces/mal/imagestreamtags?limit=1"); 16],
                };
                let found = round(client, requests).await?;
                seen.largest = seen.largest.max(found.largest);
            }
            Ok::<_, String>(seen)
        }
    });
    let unread = async {
        for path in [STREAMS, TAGS, "namespaces/mal/imagestreams?watch=true"] {
            let opened = unread_responses(site, path, 64, Form::Short).await;
            opened.map_err(|why| why.to_string())?;
        }
        Ok::<_, String>(())
    };
    let (rounds, unread) = futures_util::join!(join_all(rounds), unread);
    unread?;
    let largest = rounds.into_iter().collect::<Result<Vec<_>, _>>()?;
    let largest = largest.iter().map(|seen| seen.largest).max().unwrap_or_default();
    Ok(Seen { largest, note: format!("{} attackers", site.others.len()) })
}

async fn round(client: &Client, requests: Vec<Request>) -> Finding {
    all_at_once(client, requests, ANSWERED).await
}

fn forced_apply(number: usize, stream: &serde_json::Value) -> Request {
    let mut request = apply(STREAM, &format!("m{number}"), stream);
    request.target.push_str("&force=true");
    request
}
