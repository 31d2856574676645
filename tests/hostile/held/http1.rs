//! Request smuggling over HTTP/1.1: requests that two servers might parse differently. A row sends
//! bytes with a last request behind them, and compares the number of requests that the server has
//! processed, and their statuses.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::row::{Form, Row, Seen, Table};
use crate::site::Site;

/// Longest wait for the end of a connection.
const PATIENCE: Duration = Duration::from_secs(20);
/// Request behind the attack, with a status that no other request here has.
const LAST: &str = "GET /apis/nowhere/v1/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer token-of-mal\r\nConnection: close\r\n\r\n";
const DONE: u16 = 404;
/// Smuggled request: its status is 401 without credentials.
const SMUGGLED: &str = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

pub(crate) fn table(form: Form) -> Table {
    let post = |headers: &str, body: &str| {
        format!("POST /livez HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}")
    };
    let get = |headers: &str| format!("GET /livez HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
    let sized = |body: &str| format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let length = SMUGGLED.len();
    let many = form.of(1_000, 10_000);
    let rows = vec![
        row("pipelined", &[200, 200, DONE], get("") + &get("")),
        row(&format!("{many} pipelined"), &[200], get("").repeat(many)),
        row(
            "body of a GET",
            &[200, DONE],
            get(&format!("Content-Length: {length}\r\n")) + SMUGGLED,
        ),
        row(
            "chunked body of a GET",
            &[200, DONE],
            get("Transfer-Encoding: chunked\r\n") + &sized(SMUGGLED),
        ),
        row(
            "length and chunks",
            &[200],
            post(
                &format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
                &format!("0\r\n\r\n{SMUGGLED}"),
            ),
        ),
        row(
            "chunks and length",
            &[200],
            post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", &sized(SMUGGLED)),
        ),
        row(
            "two lengths that differ",
            &[400],
            post(&format!("Content-Length: 0\r\nContent-Length: {length}\r\n"), SMUGGLED),
        ),
        row(
            "two lengths in one header",
            &[400],
            post(&format!("Content-Length: 0, {length}\r\n"), SMUGGLED),
        ),
        row("length with a sign", &[400], post("Content-Length: +0\r\n", SMUGGLED)),
        row("negative length", &[400], post("Content-Length: -1\r\n", SMUGGLED)),
        row("length in hexadecimal", &[400], post("Content-Length: 0x0\r\n", SMUGGLED)),
        row(
            "length beyond 64 bits",
            &[400],
            post("Content-Length: 18446744073709551616\r\n", SMUGGLED),
        ),
        row("xchunked", &[400], post("Transfer-Encoding: xchunked\r\n", &sized(SMUGGLED))),
        row(
            "chunked, identity",
            &[400],
            post("Transfer-Encoding: chunked, identity\r\n", &sized(SMUGGLED)),
        ),
        row(
            "chunked behind a tab",
            &[200, DONE],
            post("Transfer-Encoding:\tchunked\r\n", &sized(SMUGGLED)),
        ),
        row(
            "space before the colon",
            &[400],
            post("Transfer-Encoding : chunked\r\n", &sized(SMUGGLED)),
        ),
        row(
            "two transfer codings",
            &[400],
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", &sized(SMUGGLED)),
        ),
        row(
            "folded header",
            &[400],
            post("X: a\r\n Transfer-Encoding: chunked\r\n", &sized(SMUGGLED)),
        ),
        row("header without a colon", &[400], post("Transfer-Encoding\r\n", SMUGGLED)),
        row("NUL in a header", &[400], get("X: a\0b\r\n")),
        row("CR in a header", &[400], get("X: a\rTransfer-Encoding: chunked\r\n")),
        row(
            "chunk extensions",
            &[200, DONE],
            post(
                "Transfer-Encoding: chunked\r\n",
                &format!("{length:x};a=b\r\n{SMUGGLED}\r\n0;x\r\n\r\n"),
            ),
        ),
        row(
            "long chunk extension",
            &[200],
            post(
                "Transfer-Encoding: chunked\r\n",
                &format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(100_000)),
            ),
        ),
        row(
            "newline in a chunk extension",
            &[200],
            post("Transfer-Encoding: chunked\r\n", &format!("1;a\nb\r\nx\r\n0\r\n\r\n{SMUGGLED}")),
        ),
        row(
            "chunk of a negative size",
            &[200],
            post("Transfer-Encoding: chunked\r\n", &format!("-1\r\nx\r\n0\r\n\r\n{SMUGGLED}")),
        ),
        row(
            "chunk beyond 64 bits",
            &[200],
            post("Transfer-Encoding: chunked\r\n", "10000000000000001\r\nx\r\n0\r\n\r\n"),
        ),
        row(
            "trailers",
            &[200, DONE],
            post("Transfer-Encoding: chunked\r\n", "0\r\nContent-Length: 50\r\nHost: b\r\n\r\n"),
        ),
        row(
            "many trailers",
            &[200],
            post(
                "Transfer-Encoding: chunked\r\n",
                &format!("0\r\n{}\r\n", "X: y\r\n".repeat(100_000)),
            ),
        ),
        row(
            "HTTP/1.0 with chunks",
            &[400],
            format!(
                "POST /livez HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                sized(SMUGGLED)
            ),
        ),
        row("HTTP/0.9", &[400], "GET /livez\r\n\r\n".into()),
        row("HTTP/1.2", &[400], "GET /livez HTTP/1.2\r\nHost: a\r\n\r\n".into()),
        row("two hosts", &[400, DONE], "GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into()),
        row("no host", &[400, DONE], "GET /livez HTTP/1.1\r\n\r\n".into()),
        row(
            "upgrade to HTTP/2 in clear text",
            &[200, DONE],
            get(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            ),
        ),
        row("expectation", &[200, DONE], get("Expect: nonsense\r\n")),
    ];
    Table::new("http1", rows).shared()
}

fn row(name: &str, statuses: &'static [u16], bytes: String) -> Row {
    Row::script(name, move |site: Rc<Site>| {
        let bytes = bytes.clone();
        async move {
            let answered = exchange(&site, &bytes).await.map_err(|why| why.to_string())?;
            if !is_repeated(&answered, statuses) {
                return Err(format!("statuses {answered:?}, not {statuses:?}"));
            }
            Ok(Seen { largest: 0, note: format!("{:?}", &answered[..answered.len().min(4)]) })
        }
    })
}

/// Returns true if the statuses are these, or the single one repeated before the last request.
fn is_repeated(answered: &[u16], statuses: &[u16]) -> bool {
    match (statuses, answered.split_last()) {
        ([status], Some((&DONE, rest))) if rest.len() > 1 => rest.iter().all(|each| each == status),
        _ => answered == statuses,
    }
}

/// Sends bytes and the last request, and reads the statuses of all responses up to the end of the
/// connection.
async fn exchange(site: &Site, bytes: &str) -> io::Result<Vec<u16>> {
    let (mut reader, mut writer) = tokio::io::split(site.mal.open(&["http/1.1"]).await?);
    let bytes = format!("{bytes}{LAST}");
    // A server that refuses may close the connection before the client has sent everything.
    let write = async {
        let _ = writer.write_all(bytes.as_bytes()).await;
        let _ = writer.flush().await;
    };
    let mut answers = Vec::new();
    let read = timeout(PATIENCE, reader.read_to_end(&mut answers));
    let ((), read) = futures_util::join!(write, read);
    // An aborted connection ends with an error after the last response.
    if let Ok(Err(why)) = read
        && answers.is_empty()
    {
        return Err(why);
    }
    let text = String::from_utf8_lossy(&answers);
    let statuses =
        text.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)?.parse().ok());
    Ok(statuses.collect())
}
