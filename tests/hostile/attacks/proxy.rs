//! Connections with a front proxy's certificate, which carry the requests of all users of a
//! cluster: cancelled requests never end one, and the headers of a user in many groups are
//! accepted.

use std::io;
use std::rc::Rc;

use crate::frames::{Block, Connection, END_STREAM, Frame, RST_STREAM};
use crate::pki::Shown;
use crate::plane;
use crate::row::{Finding, Form, Ground, Row, Seen, Table, all_at_once};
use crate::site::{Site, V1, get};
use crate::support::server::TestServer;

const CANCEL: [u8; 4] = [0, 0, 0, 8];
const BATCH: usize = 50;

pub(crate) fn table(form: Form) -> Table {
    let rounds = form.of(15_000, 100_000);
    let rows = vec![
        Row::script(format!("{rounds} cancelled requests"), move |site: Rc<Site>| async move {
            resets(&site, rounds, "/livez").await.map_err(|why| why.to_string())
        })
        .cpu(form.of(8.0, 50.0)),
        Row::script(format!("{} cancelled lists", rounds / 20), move |site: Rc<Site>| async move {
            resets(&site, rounds / 20, &format!("{V1}/imagestreams"))
                .await
                .map_err(|why| why.to_string())
        })
        .cpu(form.of(8.0, 50.0)),
        Row::script("user in 600 groups, HTTP/1.1", |site: Rc<Site>| async move {
            in_groups(&site, 600, &[200]).await
        }),
        Row::script("user in 4,900 groups, HTTP/1.1", |site: Rc<Site>| async move {
            in_groups(&site, 4_900, &[200]).await
        }),
        Row::script("user in 6,000 groups, HTTP/1.1", |site: Rc<Site>| async move {
            in_groups(&site, 6_000, &[431]).await
        }),
    ];
    Table::new("front proxy", rows).on(Ground::with_plane(plane::everything))
}

/// Requests of one user that are cancelled at once, beside another user's watch.
async fn resets(site: &Site, rounds: usize, path: &str) -> io::Result<Seen> {
    let proxy = site.server.client(site.pki.identity(Shown::Proxy));
    let mut connection = Connection::open(&proxy, &[]).await?;
    let request = |path: &str, user: &[u8]| {
        Block::request("GET", path.as_bytes(), "").with("x-remote-user", user)
    };
    let watch = request(&format!("{V1}/namespaces/vic/imagestreams?watch=true"), b"vic");
    let watch = connection.writer.begin(&watch, END_STREAM).await?;
    connection.answer(watch).await?;
    let cancelled = request(path, b"mal");
    for _ in 0..rounds / BATCH {
        let mut frames = Vec::new();
        for _ in 0..BATCH {
            let stream = connection.writer.next_stream();
            frames.extend(cancelled.frames(stream, END_STREAM));
            frames.push(Frame::new(RST_STREAM, 0, stream, CANCEL));
        }
        connection.writer.send(&frames).await?;
        let next = connection.writer.begin(&request("/livez", b"vic"), END_STREAM).await?;
        connection.answer(next).await?;
    }
    if connection.reset.contains(&watch) {
        return Err(io::Error::other("another user's watch has ended"));
    }
    Ok(Seen { largest: 0, note: format!("{rounds} cancelled") })
}

async fn in_groups(site: &Site, groups: usize, statuses: &[u16]) -> Finding {
    let proxy = site.server.client(site.pki.identity(Shown::Proxy));
    let request = get("namespaces/vic/imagestreams/w").header("x-remote-user", "jo");
    let request = (0..groups)
        .fold(request, |request, n| request.header("x-remote-group", &format!("group-{n}")));
    all_at_once(&proxy, vec![request], statuses).await
}
