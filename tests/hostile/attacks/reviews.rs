//! Floods of reviews: one write that needs very many, and unknown tokens that block the reviews of
//! other users.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::bodies::stream;
use crate::plane;
use crate::row::{Form, Ground, Row, Seen, Table, all_at_once};
use crate::site::{Site, get, post};
use crate::support::client::{Answer, Identity};
use crate::support::server::TestServer;

/// Maximum number of reviews per write.
const MOST: usize = 100;

/// M4: tags from streams of other namespaces, each of which needs a SubjectAccessReview.
pub(crate) fn of_one_write(form: Form) -> Table {
    let many = form.of(2_000, 9_000);
    let rows = [(50, &[201, 422][..]), (101, &[422]), (many, &[422])]
        .map(|(sources, statuses)| {
            Row::script(
                format!("sources in {sources} namespaces"),
                move |site: Rc<Site>| async move {
                    let plane = site.plane.as_ref().expect("the table has a control plane");
                    plane.take_reviews();
                    let write = post("namespaces/mal/imagestreams", &with_sources(sources));
                    let seen = all_at_once(&site.mal, vec![write], statuses).await?;
                    let asked = plane.take_reviews().len();
                    // One more review is for the request itself.
                    if asked > MOST + 1 {
                        return Err(format!("the write needed {asked} reviews"));
                    }
                    Ok(Seen { note: format!("{}, {asked} reviews", seen.note), ..seen })
                },
            )
        })
        .map(|row| row.memory(form.of(64, 160)));
    Table::new("m4 reviews", rows.into()).on(Ground::with_plane(plane::own_namespace_only))
}

fn with_sources(count: usize) -> Value {
    let from = |n: usize| json!({"kind": "ImageStreamTag", "namespace": format!("other-{n}"), "name": "s:t"});
    let tag = |n: usize| json!({"name": format!("t{n}"), "from": from(n)});
    let mut stream = stream("new");
    stream["spec"]["tags"] = (0..count).map(tag).collect();
    stream
}

/// M1: attackers send unknown tokens while the control plane is slow.
pub(crate) fn of_strangers(form: Form) -> Table {
    let strangers = form.of(600, 2_000);
    let row =
        Row::script(format!("{strangers} unknown tokens"), move |site: Rc<Site>| async move {
            token_flood(&site, strangers).await
        })
        .cpu(form.of(5.0, 15.0));
    let ground = Ground {
        answer_after: Duration::from_millis(500),
        ..Ground::with_plane(plane::everything)
    };
    Table::new("m1 tokens", vec![row]).on(ground)
}

/// A valid token never gets 401, which would make its client discard it. The attackers share
/// connections, so that handshakes do not count.
async fn token_flood(site: &Site, strangers: usize) -> Result<Seen, String> {
    const TOGETHER: usize = 100;
    let nobody = site.server.client(Identity::default());
    let with_token = |token: String| {
        get("namespaces/vic/imagestreams/w").header("authorization", &format!("Bearer {token}"))
    };
    let crowd = |first: usize| {
        (first..first + TOGETHER).map(|n| with_token(format!("unknown-{n}"))).collect()
    };
    let unknown =
        join_all((0..strangers).step_by(TOGETHER).map(|first| nobody.send_together(crowd(first))));
    let known = async {
        site.plane.as_ref().expect("the table has a control plane").token_reviews(TOGETHER).await;
        let known = (0..20).map(|n| with_token(format!("reviewed-user-{n}")));
        // The attackers take the memory that their address may use.
        nobody.clone().at([127, 0, 0, 2].into()).send_together(known.collect()).await
    };
    let (unknown, known) = futures_util::join!(unknown, known);
    let statuses =
        |answers: Vec<Answer>| answers.iter().map(|answer| answer.status).collect::<Vec<u16>>();
    let known = statuses(known.map_err(|why| why.to_string())?);
    let unknown: Result<Vec<_>, _> = unknown.into_iter().collect();
    let unknown = statuses(unknown.map_err(|why| why.to_string())?.concat());
    let is_among =
        |answers: &[u16], wanted: &[u16]| answers.iter().all(|status| wanted.contains(status));
    if !is_among(&known, &[200, 503]) || !is_among(&unknown, &[401, 429, 503]) {
        return Err(format!("statuses of valid tokens: {known:?}, of unknown ones: {unknown:?}"));
    }
    let served = known.iter().filter(|status| **status == 200).count();
    Ok(Seen { largest: 0, note: format!("known: 200 x {served}, 503 x {}", known.len() - served) })
}
