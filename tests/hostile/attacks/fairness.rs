//! One user who holds as much as the server gives, for as long as it allows, beside another one
//! whose requests are never refused.

use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use crate::bodies::{digest, image, mapping, stream};
use crate::plane;
use crate::row::{Finding, Form, Ground, Row, Seen, Table, expect_status};
use crate::site::{Site, get, post};
use crate::support::client::connection::Unread;
use crate::support::client::{Client, Identity, Request};
use crate::support::server::TestServer;

/// Maximum factor of the latency of the other user.
const SLOWDOWN: u32 = 10;
/// Latency that is never too high: a busy machine has pauses.
const TOLERATED: Duration = Duration::from_millis(500);
/// Requests on one HTTP/2 connection.
const STREAMS: usize = 90;

/// Time at which `vic` works.
#[derive(Clone, Copy)]
enum Phase {
    Calm,
    Attacked,
}

impl Phase {
    fn rounds(self) -> usize {
        match self {
            Self::Calm => 8,
            Self::Attacked => 16,
        }
    }

    /// Start of the digests of pushed images.
    fn prefix(self) -> &'static str {
        match self {
            Self::Calm => "ca1",
            Self::Attacked => "a77",
        }
    }
}

pub(crate) fn tables(form: Form) -> Vec<Table> {
    let (posts, reads, watches) = (form.of(210, 350), form.of(450, 1_800), form.of(90, 900));
    let held = vec![
        beside(format!("{posts} unfinished POSTs"), move |site| async move {
            let posts = (0..posts).map(|n| {
                site.mal.begin(post("namespaces/mal/imagestreams", &stream(&format!("s{n}"))))
            });
            try_join_all(posts).await.map_err(|why| why.to_string())
        })
        .cpu(form.of(10.0, 40.0)),
        beside(format!("{reads} unread GETs"), move |site| async move {
            unread(&site.mal, reads, |_| get("namespaces/vic/imagestreams/w")).await
        })
        .cpu(form.of(5.0, 15.0)),
        beside(format!("{reads} unread responses without credentials"), move |site| async move {
            let nobody = site.server.client(Identity::default());
            unread(&nobody, reads, |_| get("namespaces/vic/imagestreams/w")).await
        })
        .cpu(form.of(10.0, 30.0)),
    ];
    let watched = beside(format!("{watches} watches"), move |site| async move {
        let watch = |_| get("namespaces/mal/imagestreams?watch=true");
        unread(&site.mal, watches, watch).await
    });
    let reviewed = beside(format!("{reads} GETs that need reviews"), move |site| async move {
        unread(&site.mal, reads, |n| get(&format!("namespaces/mal/imagestreams/s{n}"))).await
    });
    let few_watches = Ground { flags: vec!["--max-watches=40".into()], ..Ground::default() };
    let slow_plane = Ground {
        answer_after: Duration::from_millis(500),
        ..Ground::with_plane(plane::everything)
    };
    vec![
        Table::new("fair", held),
        Table::new("fair watches", vec![watched]).on(few_watches),
        Table::new("fair reviews", vec![reviewed.cpu(form.of(20.0, 60.0))]).on(slow_plane),
    ]
}

/// Row in which the result of `hold` is held while `vic` works.
fn beside<H, F>(name: String, hold: impl Fn(Rc<Site>) -> F + Copy + 'static) -> Row
where
    F: Future<Output = Result<H, String>> + 'static,
{
    Row::script(name, move |site: Rc<Site>| async move {
        let calm = work(&site, Phase::Calm).await?;
        let held = hold(site.clone()).await?;
        let attacked = work(&site, Phase::Attacked).await?;
        drop(held);
        compare(calm, attacked)
    })
}

fn compare(calm: Duration, attacked: Duration) -> Finding {
    let most = TOLERATED.max(calm * SLOWDOWN);
    if attacked > most {
        return Err(format!("other users wait {attacked:?}, at most {most:?}"));
    }
    Ok(Seen { largest: 0, note: format!("others wait {attacked:.0?} instead of {calm:.0?}") })
}

/// GETs and pushes of `vic` and a watch, none of which may be refused. Returns the latency that 99 %
/// of the GETs and pushes do not exceed.
async fn work(site: &Site, phase: Phase) -> Result<Duration, String> {
    let mut latencies = Vec::new();
    for round in 0..phase.rounds() {
        let pushed = image(&digest(&format!("{}{round:x}f", phase.prefix())));
        let requests = [
            (get("namespaces/vic/imagestreams/w"), 200),
            (post("namespaces/vic/imagestreammappings", &mapping("w", "t", &pushed)), 201),
        ];
        for (request, status) in requests {
            let line = format!("{} {} of vic", request.method, request.target);
            let begun = Instant::now();
            let answer = site.vic.send(request).await.map_err(|why| format!("{line}: {why}"))?;
            expect_status(&line, &answer, &[status])?;
            latencies.push(begun.elapsed());
        }
    }
    let watch = site.vic.watch(get("namespaces/vic/imagestreams?watch=true")).await;
    expect_status("a watch of vic", &watch.head, &[200])?;
    latencies.sort();
    Ok(latencies[(latencies.len() * 99).div_ceil(100) - 1])
}

/// Sends requests on as many connections as they need. Returns after the first response.
async fn unread(
    client: &Client,
    count: usize,
    request: impl Fn(usize) -> Request,
) -> Result<Vec<Unread>, String> {
    let connections = (0..count).step_by(STREAMS).map(|first| {
        let requests = (first..count.min(first + STREAMS)).map(&request).collect();
        client.send_unread(requests)
    });
    let mut unread = try_join_all(connections).await.map_err(|why| why.to_string())?;
    let first = unread.first_mut().ok_or("no request")?;
    first.next_status().await.map_err(|why| format!("no response: {why}"))?;
    Ok(unread)
}
