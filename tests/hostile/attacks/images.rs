//! Images that a tenant once forged or read across namespaces. Each user may write only in the
//! namespace of the same name.

use std::rc::Rc;

use serde_json::{Value, json};

use crate::bodies::{Whole, image, mapping, stream};
use crate::plane;
use crate::row::{Finding, Ground, Row, Seen, Table};
use crate::site::{Site, get, post, request};
use crate::support::client::{Answer, Client, Request};

/// Manifest and configuration that `vic` pushes, and metadata that `mal` forges for them.
fn victim() -> Whole {
    Whole::new("secret of vic", 2)
}

fn forged(name: &str) -> Value {
    let mut image = image(name);
    image["metadata"]["finalizers"] = json!(["evil.example/never"]);
    image["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Pod", "name": "evil", "uid": "evil"}]);
    image["dockerImageReference"] = "evil.example/backdoor:latest".into();
    image["dockerImageMetadata"] = json!({"kind": "DockerImage", "apiVersion": "1.0", "Id": "evil", "Config": {"Env": ["TRUSTED=yes"]}});
    image["dockerImageLayers"] =
        json!([{"name": crate::bodies::digest("e711"), "size": 1, "mediaType": "evil"}]);
    image
}

/// H6: `vic` gets his own image, although `mal` pushed a forgery first.
fn pushed_first(name: &str, shape: Shape) -> Row {
    Row::script(name, move |site: Rc<Site>| async move {
        let whole = victim();
        // The server may refuse the forgery or replace it.
        push_of(&site.mal, "mal", &shape(&whole)).await?;
        push_of(&site.vic, "vic", &whole.image()).await?.of_status(&[201])?;
        is_true(&site, &whole).await
    })
    .after(with_streams)
}

/// H6: `vic` still gets his own image after `mal` pushes a forgery.
fn pushed_later(name: &str, shape: Shape) -> Row {
    Row::script(name, move |site: Rc<Site>| async move {
        let whole = victim();
        push_of(&site.vic, "vic", &whole.image()).await?.of_status(&[201])?;
        push_of(&site.mal, "mal", &shape(&whole)).await?;
        is_true(&site, &whole).await
    })
    .after(with_streams)
}

/// H7: `mal` has only the digest of an image of `vic`.
fn joined(name: &str, order: fn(Value, Value) -> [(&'static str, Value); 2]) -> Row {
    Row::script(name, move |site: Rc<Site>| async move {
        let whole = victim();
        for (user, image) in order(whole.image(), image(&whole.digest)) {
            let client = if user == "mal" { &site.mal } else { &site.vic };
            push_of(client, user, &image).await?;
        }
        is_true(&site, &whole).await?;
        is_kept_from_mal(&site, &whole).await
    })
    .after(with_streams)
}

/// Forgeries of an image that another user pushes.
type Shape = fn(&Whole) -> Value;

const SHAPES: [(&str, Shape); 7] = [
    ("no manifest, all else forged", |whole| forged(&whole.digest)),
    ("manifest without configuration", Whole::without_config),
    ("manifest without configuration, forged metadata", |whole| {
        mixed(whole.without_config(), whole)
    }),
    ("manifest and configuration, forged metadata", |whole| mixed(whole.image(), whole)),
    ("manifest with the configuration of another image", |whole| {
        let mut image = whole.image();
        image["dockerImageConfig"] = Whole::new("another", 1).config.into();
        image
    }),
    ("manifest kept in the registry, so it says", |whole| {
        let mut image = mixed(whole.image(), whole);
        image["metadata"]["annotations"] = json!({"image.openshift.io/manifestBlobStored": "true"});
        image
    }),
    ("another manifest", |whole| {
        let mut image = Whole::new("another", 1).image();
        image["metadata"]["name"] = whole.digest.clone().into();
        image
    }),
];

/// Forged fields of an image beside the correct ones of its content.
fn mixed(mut image: Value, whole: &Whole) -> Value {
    let mut forged = forged(&whole.digest);
    for content in ["dockerImageManifest", "dockerImageConfig", "dockerImageManifestMediaType"] {
        forged[content] = image[content].take();
    }
    forged
}

pub(crate) fn forgeries() -> Table {
    let mut rows = Vec::new();
    for (name, shape) in SHAPES {
        rows.push(pushed_first(&format!("first: {name}"), shape).memory(96));
        rows.push(pushed_later(&format!("later: {name}"), shape).memory(96));
    }
    rows.push(joined("digest alone, before the push", |whole, alone| {
        [("mal", alone), ("vic", whole)]
    }));
    rows.push(joined("digest alone, after the push", |whole, alone| {
        [("vic", whole), ("mal", alone)]
    }));
    rows.push(by_tag());
    Table::new("h6 h7 images", rows).on(Ground::with_plane(plane::own_namespace_only))
}

/// H7: the same by `oc tag`: a tag from an image of a stream in another namespace.
fn by_tag() -> Row {
    Row::script("digest alone, as the source of a tag", |site: Rc<Site>| async move {
        let whole = victim();
        push_of(&site.vic, "vic", &whole.image()).await?.of_status(&[201])?;
        let from =
            |kind: &str, name: String| json!({"kind": kind, "name": name, "namespace": "vic"});
        for from in [
            from("ImageStreamTag", "s:t".into()),
            from("ImageStreamImage", format!("s@{}", whole.digest)),
        ] {
            let mut stream = stream("s");
            stream["spec"]["tags"] = json!([{"name": "stolen", "from": from}]);
            let body = json!({"spec": stream["spec"]}).to_string();
            let patch = crate::site::merge_patch("namespaces/mal/imagestreams/s", &body);
            site.mal.send(patch).await.map_err(|why| why.to_string())?;
        }
        is_kept_from_mal(&site, &whole).await
    })
    .after(with_streams)
}

fn with_streams() -> Vec<Request> {
    ["mal", "vic"].map(|user| post(&format!("namespaces/{user}/imagestreams"), &stream("s"))).into()
}

async fn push_of(client: &Client, user: &str, image: &Value) -> Result<Answer, String> {
    let push = post(&format!("namespaces/{user}/imagestreammappings"), &mapping("s", "t", image));
    let answer = client.send(push).await.map_err(|why| why.to_string())?;
    match answer.status {
        201 | 403 | 409 | 422 => Ok(answer),
        status => Err(format!("the push of {user} gets status {status}: {:.300}", answer.text())),
    }
}

/// Checks that `vic` and the cluster see the correct image everywhere, and that it can be deleted.
async fn is_true(site: &Site, whole: &Whole) -> Finding {
    let shown =
        json(&site.vic, get(&format!("namespaces/vic/imagestreamimages/s@{}", whole.digest)))
            .await?;
    let tagged = json(&site.vic, get("namespaces/vic/imagestreamtags/s:t")).await?;
    let stored = json(&site.adm, get(&format!("images/{}", whole.digest))).await?;
    for image in [&shown["image"], &tagged["image"], &stored] {
        let text = image.to_string();
        let metadata = &image["dockerImageMetadata"];
        let layers = image["dockerImageLayers"].as_array().map_or(0, Vec::len);
        if text.contains("evil")
            || metadata["Config"]["Env"] != json!(["A=secret of vic"])
            || layers != whole.layers.len()
        {
            return Err(format!("the image is forged: {text:.2000}"));
        }
    }
    let layers = json(&site.vic, get("namespaces/vic/imagestreams/s/layers")).await?;
    let blobs: Vec<&String> =
        layers["blobs"].as_object().into_iter().flatten().map(|(name, _)| name).collect();
    if blobs.iter().any(|blob| **blob == crate::bodies::digest("e711"))
        || !whole.layers.iter().all(|layer| blobs.contains(&layer))
    {
        return Err(format!("the layers are forged: {layers}"));
    }
    let path = format!("images/{}", whole.digest);
    json(&site.adm, request("DELETE", &path)).await?;
    let answer = site.adm.send(get(&path)).await.map_err(|why| why.to_string())?;
    if answer.status != 404 {
        return Err(format!("the image cannot be deleted: {:.500}", answer.text()));
    }
    // Restores the image for the next steps.
    push_of(&site.vic, "vic", &whole.image()).await?.of_status(&[201])?;
    Ok(Seen { largest: shown.to_string().len(), note: "true".into() })
}

/// Checks that no object readable by `mal` has content of the image.
async fn is_kept_from_mal(site: &Site, whole: &Whole) -> Finding {
    let paths = [
        format!("namespaces/mal/imagestreamimages/s@{}", whole.digest),
        "namespaces/mal/imagestreamtags/s:t".into(),
        "namespaces/mal/imagestreamtags/s:stolen".into(),
        "namespaces/mal/imagestreamtags".into(),
        "namespaces/mal/imagetags".into(),
        "namespaces/mal/imagestreams/s".into(),
        "namespaces/mal/imagestreams/s/layers".into(),
    ];
    let mut seen = Seen::default();
    for path in paths {
        let answer = site.mal.send(get(&path)).await.map_err(|why| why.to_string())?;
        let text = answer.text();
        if text.contains("secret of vic")
            || whole.layers.iter().any(|layer| text.contains(layer.as_str()))
        {
            return Err(format!("{path} shows another user's image: {text:.2000}"));
        }
        seen.largest = seen.largest.max(text.len());
    }
    Ok(Seen { note: "kept".into(), ..seen })
}

async fn json(client: &Client, request: Request) -> Result<Value, String> {
    let line = format!("{} {}", request.method, request.target);
    let answer = client.send(request).await.map_err(|why| format!("{line}: {why}"))?;
    match answer.json() {
        Ok(body) if answer.status == 200 => Ok(body),
        _ => Err(format!("{line} gets status {}: {:.500}", answer.status, answer.text())),
    }
}
