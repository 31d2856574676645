//! Impersonation: each part of an identity needs its own permission, and the request itself is
//! authorized for the impersonated user.

use std::rc::Rc;

use serde_json::Value;

use crate::plane;
use crate::row::{Finding, Ground, Row, Seen, Table};
use crate::site::{Site, get};

type Headers = &'static [(&'static str, &'static str)];

struct Trick {
    name: &'static str,
    headers: Headers,
    /// Status if everything is allowed.
    status: u16,
    /// Expected reviews in that case, in order: user, verb, resource.
    reviews: &'static [&'static str],
}

const USER: (&str, &str) = ("Impersonate-User", "jo");
const DONE: &str = "jo [system:authenticated] get imagestreams vic/w";

const TRICKS: [Trick; 13] = [
    Trick {
        name: "user",
        headers: &[USER],
        status: 200,
        reviews: &["mal impersonate users jo", DONE],
    },
    Trick {
        name: "group of masters",
        headers: &[USER, ("Impersonate-Group", "system:masters")],
        status: 200,
        reviews: &["mal impersonate users jo", "mal impersonate groups system:masters"],
    },
    Trick {
        name: "two groups",
        headers: &[USER, ("Impersonate-Group", "a"), ("Impersonate-Group", "b")],
        status: 200,
        reviews: &[
            "mal impersonate users jo",
            "mal impersonate groups a",
            "mal impersonate groups b",
            "jo [a b system:authenticated] get imagestreams vic/w",
        ],
    },
    Trick {
        name: "uid",
        headers: &[USER, ("Impersonate-Uid", "7")],
        status: 200,
        reviews: &["mal impersonate users jo", "mal impersonate uids 7", DONE],
    },
    Trick {
        name: "extra with an escaped key",
        headers: &[USER, ("Impersonate-Extra-Scopes%2fx", "all")],
        status: 200,
        reviews: &["mal impersonate users jo", "mal impersonate userextras/scopes/x all", DONE],
    },
    Trick {
        name: "service account",
        headers: &[("Impersonate-User", "system:serviceaccount:kube-system:admin")],
        status: 200,
        reviews: &[
            "mal impersonate serviceaccounts kube-system/admin",
            "system:serviceaccount:kube-system:admin [system:serviceaccounts system:serviceaccounts:kube-system \
             system:authenticated] get imagestreams vic/w",
        ],
    },
    Trick {
        name: "anonymous",
        headers: &[("Impersonate-User", "system:anonymous")],
        status: 200,
        reviews: &[
            "mal impersonate users system:anonymous",
            "system:anonymous [system:unauthenticated] get imagestreams vic/w",
        ],
    },
    Trick {
        name: "group without a user",
        headers: &[("Impersonate-Group", "system:masters")],
        status: 500,
        reviews: &[],
    },
    Trick {
        name: "uid without a user",
        headers: &[("Impersonate-Uid", "7")],
        status: 500,
        reviews: &[],
    },
    Trick {
        name: "extra without a user",
        headers: &[("Impersonate-Extra-a", "7")],
        status: 500,
        reviews: &[],
    },
    Trick {
        name: "empty user",
        headers: &[("Impersonate-User", ""), ("Impersonate-Group", "system:masters")],
        status: 500,
        reviews: &[],
    },
    Trick {
        name: "two users",
        headers: &[USER, ("Impersonate-User", "adm")],
        status: 200,
        reviews: &["mal impersonate users jo", DONE],
    },
    Trick {
        name: "unknown part",
        headers: &[USER, ("Impersonate-Evil", "x")],
        status: 200,
        reviews: &["mal impersonate users jo", DONE],
    },
];

/// If everything is allowed, each part is reviewed; if nothing is, the first denial is the last
/// review.
pub(crate) fn tables() -> [Table; 2] {
    let granted = TRICKS.map(|trick| {
        Row::script(trick.name, move |site: Rc<Site>| async move {
            ask(&site, trick.headers, trick.status, trick.reviews).await
        })
    });
    let denied = TRICKS.map(|trick| {
        let (status, reviews) = match trick.reviews {
            [] => (trick.status, &[] as &[_]),
            [first, ..] => (403, std::slice::from_ref(first)),
        };
        Row::script(trick.name, move |site: Rc<Site>| async move {
            ask(&site, trick.headers, status, reviews).await
        })
    });
    let everything = Ground::with_plane(plane::everything);
    let nothing = Ground::with_plane(plane::nothing);
    [
        Table::new("impersonation granted", granted.into()).on(everything).shared(),
        Table::new("impersonation denied", denied.into()).on(nothing).shared(),
    ]
}

async fn ask(site: &Site, headers: Headers, status: u16, wanted: &[&str]) -> Finding {
    let plane = site.plane.as_ref().expect("the table has a control plane");
    plane.take_reviews();
    let mut request = get("namespaces/vic/imagestreams/w");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = site.mal.send_unchecked(request).await.map_err(|why| why.to_string())?;
    let asked: Vec<String> = plane.take_reviews().iter().map(told).collect();
    if answer.status != status || asked != wanted {
        return Err(format!(
            "{} after {asked:?}, not {status} after {wanted:?}: {:.200}",
            answer.status,
            answer.text()
        ));
    }
    Ok(Seen { largest: answer.body.len(), note: format!("{status}, {} reviews", asked.len()) })
}

/// The user, with groups unless it is the client itself, and the verb and resource.
fn told(spec: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let what = super::paths::told(&spec["resourceAttributes"]);
    let user = text(&spec["user"]);
    let groups: Vec<String> = spec["groups"].as_array().into_iter().flatten().map(text).collect();
    if user == "mal" {
        format!("{user} {what}")
    } else {
        format!("{user} [{}] {what}", groups.join(" "))
    }
}
