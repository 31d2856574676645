//! Peaks of the memory that single requests take, compared with what the server charges for them.
//!
//! A request is charged before its body or a stored object is decoded, so the charge is an estimate:
//! bytes and values of the body, or bytes of the stored object, times a factor. This test measures
//! the peak of allocated memory of the worst requests that are known for each kind. An estimate must
//! cover its peak. It must not exceed it too much either, or few large requests would fit into the
//! budget.
//!
//! `cargo test --test memory -- --nocapture` prints a line for each request.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use imagestream_apiserver::auth::{Authorizer, User};
use imagestream_apiserver::cluster::{Namespaces, Secrets};
use imagestream_apiserver::domain::digest::Digest;
use imagestream_apiserver::domain::registries::Registries;
use imagestream_apiserver::domain::tag_history::MaxTagHistory;
use imagestream_apiserver::endpoints::request_info::{RequestInfo, RequestPath};
use imagestream_apiserver::endpoints::response_body::ResponseBody;
use imagestream_apiserver::endpoints::serve::{Api, Request};
use imagestream_apiserver::machinery::body_cost::decoded_bytes;
use imagestream_apiserver::machinery::query::Query;
use imagestream_apiserver::meta::Time;
use imagestream_apiserver::oci::{self, PullTimeouts, RegistryClient};
use imagestream_apiserver::registry::permission::Permissions;
use imagestream_apiserver::registry::workload::MemoryFactor;
use imagestream_apiserver::resources::catalog::StorageLimits;
use imagestream_apiserver::resources::{self, Catalog, ImageImporter, import};
use imagestream_apiserver::runtime::Flow;
use imagestream_apiserver::store;
use peak_alloc::PeakAlloc;
use tokio::sync::Mutex;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const STREAMS: &str = "/apis/image.openshift.io/v1/namespaces/ns/imagestreams";
const STREAM: &str = "/apis/image.openshift.io/v1/namespaces/ns/imagestreams/s";
const JSON: &str = "application/json";
const MIB: f64 = (1 << 20) as f64;
/// Memory that is not charged, in bytes.
const FREE: u64 = 64 << 10;
/// The maximum ratio of a charge and its peak, for charges that matter.
const WASTE: f64 = 48.0;
/// The same for empty objects in a field that no type has. They are dropped, but before decoding
/// they look like empty tags, of which each takes some 7 kB.
const WASTE_OF_UNKNOWN: f64 = 80.0;

/// A call of the API.
struct Call {
    method: Method,
    target: String,
    content_type: &'static str,
    accept: &'static str,
    body: Bytes,
}

struct Lab {
    api: Api,
}

/// The response to a call and its costs.
struct Measured {
    code: u16,
    /// Bytes of the body.
    body: Bytes,
    /// The peak of allocated memory during the call, in bytes.
    peak: u64,
}

impl Call {
    fn new(method: Method, target: impl Into<String>) -> Self {
        let (target, body) = (target.into(), Bytes::new());
        Self { method, target, content_type: "", accept: JSON, body }
    }

    fn body(self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { content_type, body: body.into(), ..self }
    }

    fn accept(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }
}

fn post(body: impl Into<Bytes>) -> Call {
    Call::new(Method::POST, format!("{STREAMS}?dryRun=All")).body(JSON, body)
}

fn patch(content_type: &'static str, body: impl Into<Bytes>) -> Call {
    let manager = "dryRun=All&fieldManager=m&force=true";
    let query = if content_type.contains("apply") { manager } else { "dryRun=All" };
    Call::new(Method::PATCH, format!("{STREAM}?{query}")).body(content_type, body)
}

fn get(target: &str) -> Call {
    Call::new(Method::GET, target)
}

impl Lab {
    fn new() -> Self {
        Self::with_cache(StorageLimits::default().cache_bytes)
    }

    /// A lab with caches of this size.
    fn with_cache(cache_bytes: u64) -> Self {
        let store = store::in_memory().unwrap().store;
        let limits = StorageLimits {
            streams_per_namespace: None,
            object_bytes: 64 << 20,
            tag_history: MaxTagHistory::default(),
            cache_bytes,
            ..StorageLimits::default()
        };
        let catalog = Arc::new(Catalog::new(&store, Registries::default(), &limits));
        let permissions = Permissions::new(Arc::new(Authorizer::AlwaysAllow));
        let registries = RegistryClient::new(
            &oci::Options::default(),
            PullTimeouts::default(),
            Default::default(),
        );
        let importer =
            ImageImporter::new(registries.unwrap(), Secrets::none(), &import::Options::default());
        let (namespaces, secrets) = (Namespaces::all(), Secrets::none());
        let api = resources::all(&catalog, namespaces, secrets, Arc::new(importer), permissions);
        Self { api }
    }

    /// A lab with the stream `s`, of this content.
    async fn with_stream(content: String) -> Self {
        let lab = Self::new();
        let created = lab.call(Call::new(Method::POST, STREAMS).body(JSON, content.clone())).await;
        assert_eq!(created.code, 201, "{:.300}", String::from_utf8_lossy(&created.body));
        if content.contains("\"status\"") {
            // A create resets the status.
            let update = Call::new(Method::PATCH, format!("{STREAM}/status"));
            let updated = lab.call(update.body("application/merge-patch+json", content)).await;
            assert_eq!(updated.code, 200, "{:.300}", String::from_utf8_lossy(&updated.body));
        }
        lab
    }

    /// Pushes an image to a stream of twenty images.
    async fn push(&self, number: usize) {
        let stream = format!("s{}", number / 20);
        if number.is_multiple_of(20) {
            let body = format!("{{\"metadata\":{{\"name\":\"{stream}\"}}}}");
            let created = self.call(Call::new(Method::POST, STREAMS).body(JSON, body)).await;
            assert_eq!(created.code, 201, "{:.300}", String::from_utf8_lossy(&created.body));
        }
        let text: String = (0..64).map(|part| hex(&format!("{number} {part}"))).collect();
        let body = format!(
            "{{\"metadata\":{{\"name\":\"{stream}\"}},\"tag\":\"t{number}\",\"image\":{{\
             \"metadata\":{{\"name\":\"sha256:{}\",\"annotations\":{{\"a\":\"{text}\"}}}},\
             \"dockerImageReference\":\"r.example.com/n/s\"}}}}",
            hex(&number.to_string())
        );
        let mappings = "/apis/image.openshift.io/v1/namespaces/ns/imagestreammappings";
        let pushed = self.call(Call::new(Method::POST, mappings).body(JSON, body)).await;
        assert_eq!(pushed.code, 201, "{:.300}", String::from_utf8_lossy(&pushed.body));
    }

    /// The path of the pushed image through its stream.
    fn image(number: usize) -> String {
        let image = "/apis/image.openshift.io/v1/namespaces/ns/imagestreamimages";
        format!("{image}/s{}@sha256:{}", number / 20, hex(&number.to_string()))
    }

    async fn call(&self, call: Call) -> Measured {
        let (path, query) = call.target.split_once('?').unwrap_or((&call.target, ""));
        let (path, query) = (RequestPath::new(path), Query::parse(Some(query)));
        let mut headers = HeaderMap::new();
        headers.insert("content-type", call.content_type.parse().unwrap());
        headers.insert("accept", call.accept.parse().unwrap());
        let request = Request {
            user: User { name: "u".into(), ..User::default() }.authenticated(),
            flow: Flow::INTERNAL,
            info: RequestInfo::new(&call.method, &path, &query),
            headers: &headers,
            body: call.body,
            now: Time::now(),
        };
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let response = self.api.serve(request).await;
        let mut body = Bytes::new();
        match response.body {
            ResponseBody::Full(bytes) => body = bytes,
            ResponseBody::Chunks(mut chunks) => {
                while let Some(chunk) = futures_util::StreamExt::next(&mut chunks).await {
                    body = chunk.unwrap();
                }
            }
            ResponseBody::Events(_) => {}
        }
        let peak = MEMORY.peak_usage().saturating_sub(before) as u64;
        Measured { code: response.code, body, peak }
    }
}

fn hex(text: &str) -> String {
    Digest::sha256_of(text).hex().to_owned()
}

fn stream(fields: &str) -> String {
    format!("{{\"metadata\":{{\"name\":\"s\"}},{fields}}}")
}

fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

fn tags(count: usize) -> String {
    stream(&format!(
        "\"spec\":{{\"tags\":[{}]}}",
        list(count, |n| format!("{{\"name\":\"t{n}\"}}"))
    ))
}

fn annotated_tags(count: usize) -> String {
    let tag = |n| format!("{{\"name\":\"t{n}\",\"annotations\":{{\"a\":\"b\"}}}}");
    stream(&format!("\"spec\":{{\"tags\":[{}]}}", list(count, tag)))
}

fn unknown_objects(count: usize) -> String {
    stream(&format!("\"x\":[{}]", list(count, |_| "{\"a\":0}".into())))
}

fn labels(count: usize) -> String {
    let labels = list(count, |n| format!("\"k{n}\":\"\""));
    format!("{{\"metadata\":{{\"name\":\"s\",\"labels\":{{{labels}}}}}}}")
}

fn owners(count: usize) -> String {
    let owner =
        |n| format!("{{\"apiVersion\":\"v1\",\"kind\":\"A\",\"name\":\"n\",\"uid\":\"u{n}\"}}");
    let owners = list(count, owner);
    format!("{{\"metadata\":{{\"name\":\"s\",\"ownerReferences\":[{owners}]}}}}")
}

fn histories(count: usize) -> String {
    let tag = |n| {
        format!(
            "{{\"tag\":\"t{n}\",\"items\":[{{\"created\":\"2026-01-01T00:00:00Z\",\
             \"dockerImageReference\":\"r.io/n/s:x\",\"image\":\"x\",\"generation\":1}}]}}"
        )
    };
    stream(&format!("\"status\":{{\"tags\":[{}]}}", list(count, tag)))
}

fn yaml_tags(count: usize) -> String {
    let tags: String = (0..count).map(|n| format!("  - name: t{n}\n")).collect();
    format!("metadata:\n  name: s\nspec:\n  tags:\n{tags}")
}

fn typed(body: String) -> String {
    body.replacen('{', "{\"kind\":\"ImageStream\",\"apiVersion\":\"image.openshift.io/v1\",", 1)
}

fn mapping(field: &str) -> Call {
    let digest = format!("sha256:{:0<64}", "ab");
    let body = format!(
        "{{\"metadata\":{{\"name\":\"s\"}},\"tag\":\"t\",\"image\":{{\"metadata\":{{\"name\":\"{digest}\"}},\
         \"dockerImageReference\":\"r.example.com/n/s\",{field}}}}}"
    );
    let target = "/apis/image.openshift.io/v1/namespaces/ns/imagestreammappings?dryRun=All";
    Call::new(Method::POST, target).body(JSON, body)
}

/// Compares peaks with charges and prints them.
#[derive(Default)]
struct Ledger {
    faults: Vec<String>,
}

impl Ledger {
    fn check(&mut self, name: &str, measured: &Measured, charge: u64, most: f64) {
        let Measured { code, peak, body } = measured;
        let ratio = charge as f64 / *peak as f64;
        println!(
            "{name:<44} {code} peak {:>7.2} MiB  charge {:>7.2} MiB  ratio {ratio:>5.2}  {:.120}",
            *peak as f64 / MIB,
            charge as f64 / MIB,
            if *code < 300 { "".into() } else { String::from_utf8_lossy(body) },
        );
        if *peak > charge.max(FREE) + FREE {
            self.faults.push(format!("{name}: {peak} bytes exceed the charge of {charge}"));
        }
        if ratio > most && charge > 4 * FREE {
            self.faults.push(format!("{name}: the charge is {ratio:.1} times the peak"));
        }
    }
}

/// Held by each test, because they measure the memory of the process.
static PROCESS: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn cached_images_take_no_more_than_the_cache() {
    /// Images of 4 kB that cannot be compressed.
    const IMAGES: usize = 600;
    let _alone = PROCESS.lock().await;
    let mut held = [0; 2];
    for (held, cache_bytes) in held.iter_mut().zip([1 << 20, 8 << 20]) {
        let lab = Lab::with_cache(cache_bytes);
        for number in 0..IMAGES {
            lab.push(number).await;
        }
        let before = MEMORY.current_usage();
        for number in 0..IMAGES {
            let image = lab.call(get(&Lab::image(number))).await;
            assert_eq!(image.code, 200, "{:.300}", String::from_utf8_lossy(&image.body));
        }
        *held = MEMORY.current_usage().saturating_sub(before);
    }
    let [small, large] = held.map(|bytes| bytes as f64 / MIB);
    println!("caches of 1 and 8 MiB: {small:.2} and {large:.2} MiB more");
    assert!(small < 1.5 && large > 2.0, "{small:.2} and {large:.2} MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn charges_cover_the_peaks_of_requests() {
    let _alone = PROCESS.lock().await;
    let mut ledger = Ledger::default();
    bodies(&mut ledger).await;
    reads(&mut ledger).await;
    writes(&mut ledger).await;
    assert!(ledger.faults.is_empty(), "{}", ledger.faults.join("\n"));
}

async fn bodies(ledger: &mut Ledger) {
    const MERGE: &str = "application/merge-patch+json";
    const STRATEGIC: &str = "application/strategic-merge-patch+json";
    const JSON_PATCH: &str = "application/json-patch+json";
    const APPLY: &str = "application/apply-patch+yaml";
    let lab = Lab::with_stream(tags(1)).await;
    let named = |body: String| body.replacen("\"name\":\"s\"", "\"name\":\"new\"", 1);
    let add = |value: String| format!("[{{\"op\":\"add\",\"path\":\"/x\",\"value\":{value}}}]");
    let protobuf = "application/vnd.kubernetes.protobuf";
    let source = Lab::with_stream(annotated_tags(4_000)).await;
    let encoded = source.call(get(STREAM).accept(protobuf)).await.body;
    let manifest = "x,".repeat(400_000);
    let named_yaml = |count| yaml_tags(count).replacen("name: s", "name: new", 1);
    let empty_objects = |count| list(count, |_| "{}".into());
    let layer = |n| format!("{{\"name\":\"l{n}\",\"size\":1,\"mediaType\":\"m\"}}");
    let annotate =
        |n| format!("{{\"op\":\"add\",\"path\":\"/metadata/labels/a{n}\",\"value\":\"\"}}");
    let set_tags = |count| {
        let tags = list(count, |n| format!("{{\"name\":\"t{n}\"}}"));
        format!("[{{\"op\":\"add\",\"path\":\"/spec/tags\",\"value\":[{tags}]}}]")
    };
    let applied_yaml = |count| {
        let kind = "kind: ImageStream\napiVersion: image.openshift.io/v1\n";
        format!("{kind}{}", yaml_tags(count))
    };
    let rows = vec![
        ("create, tags", post(named(tags(6_000)))),
        ("create, annotated tags", post(named(annotated_tags(6_000)))),
        ("create, unknown objects", post(named(unknown_objects(20_000)))),
        (
            "create, unknown empty objects",
            post(named(unknown_objects(1)).replace("{\"a\":0}", &empty_objects(16_000))),
        ),
        ("create, labels", post(named(labels(3_000)))),
        ("create, owners", post(named(owners(2_000)))),
        ("create, histories", post(named(histories(2_000)))),
        ("create, YAML tags", post("").body("application/yaml", named_yaml(6_000))),
        (
            "create, protobuf",
            Call::new(Method::POST, format!("{STREAMS}?dryRun=All")).body(protobuf, encoded),
        ),
        ("push, manifest", mapping(&format!("\"dockerImageManifest\":\"{manifest}\""))),
        ("push, layers", mapping(&format!("\"dockerImageLayers\":[{}]", list(3_000, layer)))),
        ("merge, unknown objects", patch(MERGE, unknown_objects(20_000))),
        ("merge, tags", patch(MERGE, tags(8_000))),
        ("merge, annotated tags", patch(MERGE, annotated_tags(6_000))),
        ("merge, labels", patch(MERGE, labels(3_000))),
        ("merge, histories", patch(MERGE, histories(2_000))),
        ("strategic, tags", patch(STRATEGIC, tags(8_000))),
        ("strategic, annotated tags", patch(STRATEGIC, annotated_tags(6_000))),
        ("strategic, unknown objects", patch(STRATEGIC, unknown_objects(20_000))),
        ("JSON patch, value", patch(JSON_PATCH, add(format!("[{}]", empty_objects(16_000))))),
        ("JSON patch, operations", patch(JSON_PATCH, format!("[{}]", list(2_000, annotate)))),
        ("JSON patch, tags", patch(JSON_PATCH, set_tags(8_000))),
        ("apply, tags", patch(APPLY, typed(tags(8_000)))),
        ("apply, annotated tags", patch(APPLY, typed(annotated_tags(6_000)))),
        ("apply, YAML tags", patch(APPLY, applied_yaml(8_000))),
        ("apply, unknown objects", patch(APPLY, typed(unknown_objects(20_000)))),
        ("apply, owners", patch(APPLY, typed(owners(2_000)))),
        ("apply, labels", patch(APPLY, typed(labels(3_000)))),
        ("create, small", post(named(annotated_tags(10)))),
        ("apply, small", patch(APPLY, typed(annotated_tags(10)))),
    ];
    for (name, call) in rows {
        let charge = decoded_bytes(call.content_type, &call.body);
        let measured = lab.call(call).await;
        let is_unknown = name == "create, unknown empty objects";
        ledger.check(name, &measured, charge, if is_unknown { WASTE_OF_UNKNOWN } else { WASTE });
    }
}

async fn reads(ledger: &mut Ledger) {
    for (content, body) in [
        ("tags", tags(8_000)),
        ("annotated tags", annotated_tags(6_000)),
        ("histories", histories(3_000)),
        ("small", annotated_tags(10)),
    ] {
        let lab = Lab::with_stream(body).await;
        let stored = lab.call(get(STREAM)).await.body.len() as u64;
        let tag = STREAM.replace("imagestreams/s", "imagestreamtags/s:none");
        let tags = STREAMS.replace("imagestreams", "imagestreamtags");
        for (name, call) in [
            ("GET", get(STREAM)),
            ("GET YAML", get(STREAM).accept("application/yaml")),
            ("GET protobuf", get(STREAM).accept("application/vnd.kubernetes.protobuf")),
            ("GET table", get(STREAM).accept("application/json;as=Table;v=v1;g=meta.k8s.io")),
            ("GET tag", get(&tag)),
            ("list", get(STREAMS)),
            ("list YAML", get(STREAMS).accept("application/yaml")),
            ("list protobuf", get(STREAMS).accept("application/vnd.kubernetes.protobuf")),
            ("list tags", get(&tags)),
        ] {
            let is_yaml = call.accept == "application/yaml";
            let factor = if is_yaml { MemoryFactor::ReadYaml } else { MemoryFactor::Read };
            let measured = lab.call(call).await;
            let name = format!("{name}, {content} of {stored} bytes");
            ledger.check(&name, &measured, factor as u64 * stored, WASTE);
        }
    }
}

async fn writes(ledger: &mut Ledger) {
    for (content, body) in [
        ("tags", tags(8_000)),
        ("annotated tags", annotated_tags(6_000)),
        ("histories", histories(3_000)),
        ("small", annotated_tags(10)),
    ] {
        let lab = Lab::with_stream(body.clone()).await;
        let stored = lab.call(get(STREAM)).await.body.len() as u64;
        let label = "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}";
        let applied = typed("{\"metadata\":{\"name\":\"s\",\"labels\":{\"a\":\"b\"}}}".into());
        let tag = STREAM.replace("imagestreams/s", "imagestreamtags/s:t1");
        let delete = |target: &str| Call::new(Method::DELETE, format!("{target}?dryRun=All"));
        for (name, call) in [
            ("merge", patch("application/merge-patch+json", label)),
            ("strategic", patch("application/strategic-merge-patch+json", label)),
            ("apply", patch("application/apply-patch+yaml", applied)),
            ("delete", delete(STREAM)),
            ("delete tag", delete(&tag)),
            ("push", mapping("\"dockerImageLayers\":[]")),
        ] {
            let is_patch = call.method == Method::PATCH;
            let factor = if is_patch { MemoryFactor::Patch } else { MemoryFactor::Write };
            let charge = decoded_bytes(call.content_type, &call.body) + factor as u64 * stored;
            let measured = lab.call(call).await;
            let name = format!("{name} to {content} of {stored} bytes");
            ledger.check(&name, &measured, charge, WASTE);
        }
        let everything = Call::new(Method::PUT, format!("{STREAM}?dryRun=All")).body(JSON, body);
        let factor = MemoryFactor::Write as u64;
        let charge = decoded_bytes(JSON, &everything.body) + factor * stored;
        let measured = lab.call(everything).await;
        ledger.check(&format!("PUT to {content} of {stored} bytes"), &measured, charge, WASTE);
    }
}
