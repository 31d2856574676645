//! Authentication of clients, observed through the access reviews that the control plane receives.

use std::rc::Rc;

use serde_json::{Value, json};

use crate::pki::Shown;
use crate::plane;
use crate::row::{Finding, Ground, Row, Seen, Table};
use crate::site::{Site, get};
use crate::support::server::TestServer;

/// Expected result of authentication.
#[derive(Clone, Copy)]
enum Taken {
    /// 401 without an access review.
    Unknown,
    /// User with name and groups, who has no permissions.
    For(&'static str, &'static [&'static str]),
}

use Taken::{For, Unknown};

const ANONYMOUS: Taken = For("system:anonymous", &["system:unauthenticated"]);
const AUTHENTICATED: &str = "system:authenticated";
const MAL: Taken = For("mal", &[AUTHENTICATED]);
type Headers = &'static [(&'static str, &'static str)];

/// Identity headers of a front proxy.
const CLAIM: Headers = &[CLAIMED_USER, CLAIMED_GROUP];
const CLAIMED_USER: (&str, &str) = ("X-Remote-User", "adm");
const CLAIMED_GROUP: (&str, &str) = ("X-Remote-Group", "system:masters");
const TOKEN: (&str, &str) = ("Authorization", "Bearer token-of-mal");

pub(crate) fn table() -> Table {
    let rows = vec![
        row("nothing", Shown::Nothing, &[], ANONYMOUS),
        row("empty token", Shown::Nothing, &[("Authorization", "Bearer ")], ANONYMOUS),
        row("unknown token", Shown::Nothing, &[("Authorization", "Bearer nobody's")], Unknown),
        row(
            "token of another case",
            Shown::Nothing,
            &[("Authorization", "Bearer TOKEN-OF-ADM")],
            Unknown,
        ),
        row(
            "token with a space behind",
            Shown::Nothing,
            &[("Authorization", "Bearer token-of-mal x")],
            MAL,
        ),
        row(
            "two tokens in one header",
            Shown::Nothing,
            &[("Authorization", "Bearer token-of-mal, Bearer token-of-adm")],
            Unknown,
        ),
        row(
            "two headers, the better one second",
            Shown::Nothing,
            &[TOKEN, ("Authorization", "Bearer token-of-adm")],
            MAL,
        ),
        row(
            "two headers, the first unknown",
            Shown::Nothing,
            &[("Authorization", "Bearer x"), TOKEN],
            Unknown,
        ),
        row("basic", Shown::Nothing, &[("Authorization", "Basic dG9rZW4tb2YtYWRtOg==")], ANONYMOUS),
        row("token in a cookie", Shown::Nothing, &[("Cookie", "token=token-of-adm")], ANONYMOUS),
        row("token", Shown::Nothing, &[TOKEN], MAL),
        row(
            "reviewed token",
            Shown::Nothing,
            &[("Authorization", "Bearer reviewed-mal")],
            For("mal", &["reviewed", AUTHENTICATED]),
        ),
        row(
            "reviewed token without a name",
            Shown::Nothing,
            &[("Authorization", "Bearer reviewed-")],
            Unknown,
        ),
        row(
            "token and claims of a proxy",
            Shown::Nothing,
            &[TOKEN, CLAIMED_USER, CLAIMED_GROUP],
            MAL,
        ),
        row("claims of a proxy, no certificate", Shown::Nothing, CLAIM, ANONYMOUS),
        row("claims, other common name", Shown::OtherProxy, CLAIM, Unknown),
        row(
            "claims, user called like the proxy",
            Shown::UserCalledProxy,
            CLAIM,
            For("front-proxy", &["team", AUTHENTICATED]),
        ),
        row("claims, unknown authority", Shown::ForgedProxy, CLAIM, Unknown),
        row("claims, namesake of the authority", Shown::ForgedAuthority, CLAIM, Unknown),
        row("claims, serving certificate", Shown::ServingProxy, CLAIM, Unknown),
        row("claims, ended certificate", Shown::EndedProxy, CLAIM, Unknown),
        row(
            "claims, certificate of a user",
            Shown::User,
            CLAIM,
            For("mal", &["team", AUTHENTICATED]),
        ),
        row("certificate of a user", Shown::User, &[], For("mal", &["team", AUTHENTICATED])),
        row(
            "certificate of a user and a token",
            Shown::User,
            &[("Authorization", "Bearer token-of-vic")],
            For("mal", &["team", AUTHENTICATED]),
        ),
        row("certificate of an unknown authority", Shown::ForgedUser, &[], Unknown),
        row("ended certificate of a user", Shown::EndedUser, &[], Unknown),
        row("serving certificate of a user", Shown::ServingUser, &[], Unknown),
        row("ended certificate and a token", Shown::EndedUser, &[TOKEN], MAL),
        row(
            "proxy",
            Shown::Proxy,
            &[("X-Remote-User", "jo"), ("X-Remote-Group", "a")],
            For("jo", &["a", AUTHENTICATED]),
        ),
        row(
            "proxy that names nobody",
            Shown::Proxy,
            &[("X-Remote-Group", "system:masters")],
            Unknown,
        ),
        row(
            "proxy with an empty name",
            Shown::Proxy,
            &[("X-Remote-User", ""), CLAIMED_GROUP],
            Unknown,
        ),
        row(
            "proxy with two names",
            Shown::Proxy,
            &[("X-Remote-User", "jo"), ("X-Remote-User", "adm")],
            For("jo", &[AUTHENTICATED]),
        ),
        row(
            "proxy with a header in underscores",
            Shown::Proxy,
            &[("X-Remote-User", "jo"), ("X_Remote_Group", "system:masters")],
            For("jo", &[AUTHENTICATED]),
        ),
        row(
            "proxy with a name in UTF-8",
            Shown::Proxy,
            &[("X-Remote-User", "\u{ff}")],
            For("\u{ff}", &[AUTHENTICATED]),
        ),
        row(
            "proxy with an empty group",
            Shown::Proxy,
            &[("X-Remote-User", "jo"), ("X-Remote-Group", "")],
            For("jo", &[AUTHENTICATED]),
        ),
        row(
            "proxy with an empty key of an extra",
            Shown::Proxy,
            &[("X-Remote-User", "jo"), ("X-Remote-Extra-", "x")],
            Unknown,
        ),
        row(
            "proxy, and a token of another user",
            Shown::Proxy,
            &[("X-Remote-User", "jo"), TOKEN],
            For("jo", &[AUTHENTICATED]),
        ),
        row(
            "websocket protocol with a token",
            Shown::Nothing,
            &[
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                (
                    "Sec-WebSocket-Protocol",
                    "base64url.bearer.authorization.k8s.io.dG9rZW4tb2YtbWFs",
                ),
            ],
            Unknown,
        ),
    ];
    Table::new("credentials", rows).on(Ground::with_plane(plane::nothing)).shared()
}

fn row(name: &str, shown: Shown, headers: Headers, taken: Taken) -> Row {
    Row::script(
        name,
        move |site: Rc<Site>| async move { is_taken(&site, shown, headers, taken).await },
    )
}

/// Sends a request and compares the user in the access review.
async fn is_taken(site: &Site, shown: Shown, headers: Headers, taken: Taken) -> Finding {
    let client = site.server.client(site.pki.identity(shown));
    let plane = site.plane.as_ref().expect("the table has a control plane");
    plane.take_reviews();
    let mut request = get("namespaces/vic/imagestreams/w");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = client.send(request).await.map_err(|why| why.to_string())?;
    let asked: Vec<Value> =
        plane.take_reviews().iter().map(|spec| json!([spec["user"], spec["groups"]])).collect();
    let (status, wanted) = match taken {
        Unknown => (401, vec![]),
        For(user, groups) => (403, vec![json!([user, groups])]),
    };
    if (answer.status, &asked) != (status, &wanted) {
        return Err(format!(
            "{} after {asked:?}, not {status} after {wanted:?}: {:.200}",
            answer.status,
            answer.text()
        ));
    }
    Ok(Seen { largest: answer.body.len(), note: asked.iter().map(Value::to_string).collect() })
}
