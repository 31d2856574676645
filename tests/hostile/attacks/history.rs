//! One large stream that is rewritten in a loop, whose history once filled the volume.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;

use serde_json::json;

use crate::bodies::stream;
use crate::row::{Finding, Form, Ground, Row, Seen, Table};
use crate::site::{Site, merge_patch, post, request};
use crate::support::client::Request;
use crate::support::server::TestServer;

const STREAMS: &str = "namespaces/mal/imagestreams";
const STREAM: &str = "namespaces/mal/imagestreams/s";
const WITNESS: &str = "namespaces/vic/imagestreams/w";
/// Bytes of the data file in relation to the limit.
const TIMES: u64 = 4;

pub(crate) fn table(form: Form) -> Table {
    // Every patch costs the server seconds in a debug build.
    let (patches, tags) = form.of((12, 450), (100, 1_350));
    // The server compacts nothing during the row, and the rate is high.
    let limit = form.of(6_u64, 32) << 20;
    let flags = vec![
        format!("--max-history-bytes-per-namespace={limit}"),
        "--compaction-retention=1s".into(),
    ];
    let name = format!("{patches} patches of a stream of {tags} long tags");
    let row = Row::script(name, move |site| async move { rewrites(&site, patches, limit).await })
        .after(move || vec![post(STREAMS, &large(tags))])
        .memory(200)
        .cpu(form.of(40.0, 600.0));
    Table::new("m3 history", vec![row]).on(Ground { flags, ..Ground::default() })
}

/// A stream that is stored in 2 KiB for each tag, half of which are managed fields.
fn large(tags: usize) -> serde_json::Value {
    let mut stream = stream("s");
    let name = |n: usize| format!("t{n:04}{}", "x".repeat(1_000));
    stream["spec"]["tags"] = (0..tags).map(|n| json!({"name": name(n)})).collect();
    stream
}

/// Patches of `mal`, which a limit refuses after some time, beside writes of `vic`, which it never
/// does.
async fn rewrites(site: &Rc<Site>, patches: usize, limit: u64) -> Finding {
    let (mut stored, mut refused) = (0, 0);
    for number in 0..patches {
        let label = json!({"metadata": {"labels": {"number": number.to_string()}}}).to_string();
        let failed = |why: std::io::Error| format!("no response: {why}");
        let answer = site.mal.send_unchecked(merge_patch(STREAM, &label)).await.map_err(failed)?;
        match answer.status {
            200 => stored += 1,
            429 if answer.header("retry-after").is_some() => refused += 1,
            other => return Err(format!("status {other}: {:.300}", answer.text())),
        }
        expect(site, merge_patch(WITNESS, &label)).await?;
    }
    if stored < 3 || refused == 0 {
        return Err(format!("{stored} patches are stored and {refused} refused"));
    }
    let file = fs::metadata(site.server.folder().join("data/store.redb"))
        .map_err(|why| format!("the data file cannot be read: {why}"))?;
    let allocated = file.blocks() * 512;
    if allocated > TIMES * limit {
        return Err(format!("the data file has {allocated} bytes for a limit of {limit}"));
    }
    let deletion = site.mal.send_unchecked(request("DELETE", STREAM)).await;
    deletion.map_err(|why| format!("no response: {why}"))?.of_status(&[200])?;
    let note = format!("200 x {stored}, 429 x {refused}, {} MiB in the file", allocated >> 20);
    Ok(Seen { largest: 0, note })
}

/// Sends a request of `vic` that must succeed.
async fn expect(site: &Rc<Site>, request: Request) -> Result<(), String> {
    let answer = site.vic.send_unchecked(request).await;
    let answer = answer.map_err(|why| format!("another user gets no response: {why}"))?;
    answer.of_status(&[200]).map(drop).map_err(|why| format!("another user: {why}"))
}
