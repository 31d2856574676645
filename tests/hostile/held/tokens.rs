//! Forged continue tokens, selectors and queries: no response has objects outside of the namespace
//! of the path.

use std::rc::Rc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::bodies::stream;
use crate::row::{Finding, Row, Seen, Table};
use crate::site::{Site, get, post};
use crate::support::client::Request;

const STREAMS: &str = "namespaces/mal/imagestreams";
/// No objects of another namespace, with any status.
const ANY: &[u16] = &[200, 400, 410, 413, 504];
const REFUSED: &[u16] = &[400, 410, 413, 414];

pub(crate) fn table() -> Table {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let token = move |start: &str, version: i64| {
        encode(&json!({"v": "meta.k8s.io/v1", "rv": version, "start": start}))
    };
    let next = |token: String| format!("limit=1&continue={token}");
    let tokens = [
        ("start in another namespace", ANY, next(token("vic/", -1))),
        ("start in another namespace, escaped", ANY, next(token("../vic/w", -1))),
        (
            "start above the namespace",
            ANY,
            next(token("/registry/image.openshift.io/imagestreams/vic/w", -1)),
        ),
        ("start with NUL", ANY, next(token("\0", -1))),
        ("start with the end of the namespace", ANY, next(token("\u{7f}", -1))),
        ("start with the highest letter", ANY, next(token("\u{10ffff}", -1))),
        ("long start", ANY, next(token(&"a".repeat(20_000), -1))),
        ("revision of the future", &[400, 410, 504], next(token("a", i64::MAX))),
        ("revision of zero", ANY, next(token("a", 0))),
        ("negative revision", ANY, next(token("a", i64::MIN))),
        ("empty start", REFUSED, next(token("", 1))),
        ("no start", REFUSED, next(encode(&json!({"v": "meta.k8s.io/v1", "rv": 1})))),
        (
            "other version",
            REFUSED,
            next(encode(&json!({"v": "meta.k8s.io/v9", "rv": 1, "start": "a"}))),
        ),
        (
            "number for a text",
            REFUSED,
            next(encode(&json!({"v": "meta.k8s.io/v1", "rv": 1, "start": 7}))),
        ),
        ("deep JSON", REFUSED, next(BASE64_URL_SAFE_NO_PAD.encode("[".repeat(30_000)))),
        ("no JSON", REFUSED, next(BASE64_URL_SAFE_NO_PAD.encode("evil"))),
        ("no base64", REFUSED, next("%ff%ff".into())),
        ("with a resource version", REFUSED, format!("{}&resourceVersion=1", next(token("a", -1)))),
    ];
    let queries = [
        ("limit of a negative number", ANY, "limit=-1".to_owned()),
        ("limit beyond 64 bits", REFUSED, "limit=99999999999999999999".into()),
        ("label selector of 60 kB", ANY, format!("labelSelector={}", "a".repeat(60_000))),
        (
            "label selector of 6,000 parts",
            ANY,
            format!(
                "labelSelector={}",
                (0..6_000).map(|n| format!("a{n}")).collect::<Vec<_>>().join(",")
            ),
        ),
        (
            "label selector of nested sets",
            REFUSED,
            format!("labelSelector=a+in+{}", "(".repeat(50_000)),
        ),
        (
            "field selector of another namespace",
            ANY,
            "fieldSelector=metadata.namespace%3Dvic".into(),
        ),
        ("field selector of an unknown field", REFUSED, "fieldSelector=spec.evil%3Dx".into()),
        (
            "field selector of escapes",
            ANY,
            format!("fieldSelector=metadata.name%3D{}", "%5C%5C".repeat(9_000)),
        ),
        (
            "6,000 parameters",
            ANY,
            (0..6_000).map(|n| format!("p{n}=v")).collect::<Vec<_>>().join("&"),
        ),
        ("60,000 separators", ANY, "&".repeat(60_000)),
        ("broken escapes", ANY, "x=%&y=%f&z=%zz".into()),
        ("resource version that is no number", REFUSED, "resourceVersion=evil".into()),
    ];
    let rows =
        tokens.into_iter().chain(queries).map(|(name, statuses, query)| row(name, statuses, query));
    Table::new("queries", rows.collect()).shared()
}

fn row(name: &str, statuses: &'static [u16], query: String) -> Row {
    Row::script(name, move |site: Rc<Site>| {
        let query = query.clone();
        async move { stays_inside(&site, statuses, &query).await }
    })
}

async fn stays_inside(site: &Site, statuses: &[u16], query: &str) -> Finding {
    let mine: Request = post(STREAMS, &stream("mine"));
    // The stream exists from the second row on.
    site.mal.send(mine).await.map_err(|why| why.to_string())?.of_status(&[201, 409])?;
    let request = get(&format!("{STREAMS}?{query}"));
    let answer = site
        .mal
        .send_unchecked(request)
        .await
        .map_err(|why| why.to_string())?
        .of_status(statuses)?;
    let items =
        answer.json().ok().and_then(|list| list["items"].as_array().cloned()).unwrap_or_default();
    match items.iter().find(|item| item["metadata"]["namespace"] != "mal") {
        Some(item) => Err(format!("an object of another namespace: {item}")),
        None => Ok(Seen {
            largest: answer.body.len(),
            note: format!("{}, {} items", answer.status, items.len()),
        }),
    }
}
