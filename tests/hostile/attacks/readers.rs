//! Responses that were once buffered without a limit, or assembled separately for each reader.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bodies::{OCI_INDEX, OCI_MANIFEST, Whole, digest, digest_of, image, mapping, stream};
use crate::row::{Finding, Form, Row, Seen, Table, all_at_once};
use crate::site::{Site, get, post};
use crate::support::client::Request;

const STREAM: &str = "namespaces/mal/imagestreams/s";
const MAPPINGS: &str = "namespaces/mal/imagestreammappings";

fn with_stream() -> Vec<Request> {
    vec![post("namespaces/mal/imagestreams", &stream("s"))]
}

/// H5: layers of a stream whose images have very many layers, and the pushes that create them.
pub(crate) fn layers(form: Form) -> Table {
    // Nearly as many as `--max-object-size` admits.
    let (layers, readers) = (6_000, form.of(6, 12));
    let pushed = move |images: usize| {
        let mut requests = with_stream();
        requests.extend((0..images).map(|n| {
            let whole = Whole::new(&format!("image {n}"), layers);
            post(MAPPINGS, &mapping("s", &format!("t{n}"), &whole.image()))
        }));
        requests
    };
    let readers_of = |images: usize, statuses: &'static [u16]| {
        let read = move || vec![get(&format!("{STREAM}/layers")); readers];
        Row::new(format!("{readers} readers of {images} images of {layers} layers"), statuses, read)
            .after(move || pushed(images))
            .cpu(form.of(20.0, 100.0))
            .memory(form.of(160, 400))
    };
    let claimed = move |count: usize| {
        let mut image = image(&digest("abc"));
        let layer =
            |n: usize| json!({"name": digest(&format!("{n:x}f")), "size": 1, "mediaType": "m"});
        image["dockerImageLayers"] = (0..count).map(layer).collect();
        vec![post(MAPPINGS, &mapping("s", "t", &image)); 4]
    };
    Table::new(
        "h5 layers",
        vec![
            readers_of(form.of(8, 4), &[200, 429]).answer(16 << 10),
            readers_of(form.of(16, 60), &[413, 429]),
            Row::new("15,000 layers without a manifest", &[422], move || claimed(15_000))
                .after(with_stream)
                .cpu(4.0)
                .memory(96),
            Row::new("501 layers without a manifest", &[422], move || claimed(501))
                .after(with_stream),
            Row::new("500 layers without a manifest", &[201, 409], move || claimed(500))
                .after(with_stream),
        ],
    )
}

/// H8: parts of image lists, which every reader once collected again after each push of any list.
pub(crate) fn parts(form: Form) -> Table {
    let (lists, parts, readers) = (10, form.of(500, 5_000), form.of(40, 200));
    let lists_of_parts = move || {
        let mut requests = with_stream();
        requests.extend(
            (0..lists).map(|n| post(MAPPINGS, &mapping("s", &format!("t{n}"), &list(n, parts)))),
        );
        requests.push(post("namespaces/mal/imagestreams", &stream("other")));
        requests
    };
    let read_beside_pushes =
        move |site: Rc<Site>| async move { beside_pushes(&site, readers, form.of(6, 30)).await };
    let claimed = |count: usize| {
        let mut image = image(&digest("abc"));
        image["dockerImageManifestMediaType"] = OCI_INDEX.into();
        image["dockerImageManifests"] =
            (0..count).map(|n| part(&digest(&format!("{n:x}f")))).collect();
        vec![post(MAPPINGS, &mapping("s", "t", &image)); 4]
    };
    Table::new(
        "h8 parts",
        vec![
            Row::script(
                format!("{readers} readers of {lists} lists of {parts} parts beside pushes"),
                read_beside_pushes,
            )
            .after(lists_of_parts)
            .cpu(form.of(3.0, 60.0))
            .memory(200),
            Row::new("14,000 parts without a manifest", &[422], move || claimed(14_000))
                .after(with_stream)
                .cpu(4.0)
                .memory(96),
            Row::new("501 parts without a manifest", &[422], move || claimed(501))
                .after(with_stream),
        ],
    )
}

fn part(digest: &str) -> Value {
    json!({"digest": digest, "mediaType": OCI_MANIFEST, "manifestSize": 7, "architecture": "amd64", "os": "linux", "size": 7})
}

/// Image index with its manifest.
fn list(number: usize, parts: usize) -> Value {
    let parts: Vec<Value> = (0..parts).map(|n| part(&digest(&format!("{number}{n:x}f")))).collect();
    let platform = json!({"architecture": "amd64", "os": "linux"});
    let named = |part: &Value| json!({"mediaType": OCI_MANIFEST, "digest": part["digest"], "size": 7, "platform": platform});
    let named: Vec<Value> = parts.iter().map(named).collect();
    let manifest =
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": named}).to_string();
    let mut image = image(&digest_of(&manifest));
    image["dockerImageManifestMediaType"] = OCI_INDEX.into();
    image["dockerImageManifest"] = manifest.into();
    image
}

/// Rounds of concurrent GETs by a digest that no part has, each round after a push of a list to
/// another stream.
async fn beside_pushes(site: &Site, readers: usize, rounds: usize) -> Finding {
    let mut seen = Seen::default();
    let begun = Instant::now();
    for round in 0..rounds {
        let push = post(MAPPINGS, &mapping("other", "t", &list(100 + round, 1)));
        let path =
            format!("namespaces/mal/imagestreamimages/s@{}", digest(&format!("dead{round:x}")));
        let reads = site.mal.send_together(vec![get(&path); readers]);
        let (pushed, read) = futures_util::join!(all_at_once(&site.vic, vec![push], &[201]), reads);
        pushed?;
        for answer in read.map_err(|why| format!("a GET gets no response: {why}"))? {
            seen.largest = seen.largest.max(answer.of_status(&[404, 429])?.body.len());
        }
    }
    let each: Duration =
        begun.elapsed() / u32::try_from(rounds).expect("the number of rounds fits");
    Ok(Seen { note: format!("{each:.0?} a round"), ..seen })
}
