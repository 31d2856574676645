//! Bound on the work that a request body may cause: `C * n * log2(n)` steps, with `n` the bytes of
//! body and stored object.
//!
//! Steps are measured by the CPU clock of the thread: one step is the time to decode one byte of an
//! ordinary JSON body with the same build on the same machine. So loops need no instrumentation,
//! and the work of libraries counts as well (above all moving, comparing and copying memory).

use std::sync::LazyLock;
use std::time::Duration;

use imagestream_apiserver::api::{GROUP_VERSION, Image, ImageStream};
use imagestream_apiserver::domain::registries::Registries;
use imagestream_apiserver::domain::resolve::{Resolution, SourceStreams};
use imagestream_apiserver::domain::stream_strategy::{self, WriteTarget};
use imagestream_apiserver::domain::tag_history::MaxTagHistory;
use imagestream_apiserver::domain::validate;
use imagestream_apiserver::endpoints::decode;
use imagestream_apiserver::endpoints::write_options::{WriteKind, WriteOptions};
use imagestream_apiserver::machinery::field_validation::FieldValidation;
use imagestream_apiserver::machinery::json;
use imagestream_apiserver::machinery::managed_fields::Manager;
use imagestream_apiserver::machinery::patch::{MEDIA_TYPES, Patch};
use imagestream_apiserver::machinery::updated_object::{ExistingObject, UpdatedObjectInfo};
use imagestream_apiserver::machinery::value;
use imagestream_apiserver::meta::{GroupResource, ObjectMeta, Status, field};
use imagestream_apiserver::registry::metadata;
use imagestream_apiserver::resources::API;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

use super::{IMAGE_SCHEMA, SCHEMA, request};

/// The factor of the bound. Ordinary writes take 0.1 to 1.3: a body is parsed twice (once for
/// `fieldValidation`), coerced to its type, compared with the stored object, assigned owners and
/// validate_image, and decoding alone takes 1. YAML with the maximum expansion of aliases takes 3.
const C: f64 = 4.0;
/// Minimum `n`. Below it, the constant cost of a request exceeds the cost per byte.
const MIN_BYTES: usize = 4 << 10;
/// Minimum `n` for YAML. A shorter body may expand to as many nodes as one of this length, so that
/// small documents can share parts.
const MIN_YAML_BYTES: usize = 40 << 10;
/// Maximum length of a body.
const MAX_BODY: usize = 64 << 10;
/// Maximum number of labels, tags, finalizers and managers of the stored stream.
const MAX_PARTS: usize = 60_000;
/// Media type parameter of bodies that are images. Other bodies are image streams.
const IMAGE_PARAMETER: &str = ";kind=Image";
/// Number of measurements. Other programs on the machine can only make a measurement slower.
const MEASUREMENTS: usize = 3;

/// An input: a line with the media type, a line with four numbers (labels, tags, finalizers and
/// managers of the stored stream), and the body.
struct Case<'a> {
    media: &'a str,
    parts: [usize; 4],
    body: &'a [u8],
}

/// Asserts that a body stays within the bound.
pub fn work(bytes: &[u8]) {
    let Some(case) = Case::read(bytes) else { return };
    let stored = stored(case.parts);
    let n = (case.body.len() + json::encode(&stored).len()).max(case.min_bytes()) as f64;
    let allowed = C * n * n.log2();
    let mut min = f64::INFINITY;
    for _ in 0..MEASUREMENTS {
        min = min.min(steps(|| case.run(&stored)));
        if min <= allowed {
            return;
        }
    }
    panic!(
        "{} takes {min:.0} steps, {:.1} times the bound for {n} bytes",
        case.media,
        min / allowed
    );
}

impl<'a> Case<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
        let media = std::str::from_utf8(lines.next()?).ok()?;
        let mut numbers = std::str::from_utf8(lines.next()?).ok()?.split(' ');
        let mut number = || {
            numbers
                .next()
                .and_then(|number| number.parse().ok())
                .map(|number: usize| number.min(MAX_PARTS))
        };
        let parts = [number()?, number()?, number()?, number()?];
        let body = lines.next()?;
        (body.len() <= MAX_BODY).then_some(Self { media, parts, body })
    }

    /// Minimum `n` for the media type.
    fn min_bytes(&self) -> usize {
        if self.media.contains("yaml") { MIN_YAML_BYTES } else { MIN_BYTES }
    }

    /// Handles the body as a write does, up to the object to be stored or the error.
    fn run(&self, stored: &ImageStream) {
        if MEDIA_TYPES.contains(&self.media) {
            encode_error(self.patched(stored).and_then(|new| resolve_and_validate(stored, new)));
            return;
        }
        let cx = request(self.media, self.body);
        let warn = FieldValidation::Warn;
        if self.media.ends_with(IMAGE_PARAMETER) {
            encode_error(
                decode::object::<Image>(&cx, API, &IMAGE_SCHEMA, warn)
                    .and_then(|image| validate_image(&image.object)),
            );
            return;
        }
        encode_error(decode::object::<ImageStream>(&cx, API, &SCHEMA, warn).and_then(|decoded| {
            let options = WriteOptions::read(&cx, WriteKind::Update)?;
            let update = UpdatedObjectInfo::from_object(decoded, &SCHEMA, API);
            resolve_and_validate(stored, updated(&update, &options, stored)?)
        }));
    }

    fn patched(&self, stored: &ImageStream) -> Result<ImageStream, Status> {
        let options =
            WriteOptions::read(&request(self.media, b""), WriteKind::of_patch(self.media))?;
        let update = UpdatedObjectInfo::from_patch(
            Patch::read(self.media, self.body)?,
            options.validation,
            options.conflicts,
            &SCHEMA,
            API,
        );
        updated(&update, &options, stored)
    }
}

/// The object after an update, with its owners.
fn updated(
    update: &UpdatedObjectInfo<ImageStream>,
    options: &WriteOptions,
    stored: &ImageStream,
) -> Result<ImageStream, Status> {
    let now = request("", b"").actor.now;
    let (name, api_version) = (options.field_manager.clone(), GROUP_VERSION);
    let manager = Manager { name, subresource: "", api_version, time: now, ignored: &["status"] };
    let existing = ExistingObject::new(stored, API);
    let mut object = update.updated_object(Some(&existing), &manager)?.object;
    object.metadata.managed_fields = update.managed_fields(Some(&existing), &object, &manager)?;
    Ok(object)
}

/// Resolves the tags of the stream and validates it, as before it is stored.
fn resolve_and_validate(stored: &ImageStream, mut new: ImageStream) -> Result<(), Status> {
    stream_strategy::prepare_for_update(stored, &mut new, WriteTarget::Tag);
    let (others, registries) = (SourceStreams::default(), Registries::default());
    let resolution = Resolution {
        old: Some(stored),
        others: &others,
        registries: &registries,
        max_history: MaxTagHistory::default(),
        target: WriteTarget::Tag,
        now: request("", b"").actor.now,
    };
    let mut errors = resolution.run(&mut new);
    errors.append(validate::stream_update(stored, &new));
    into_status(&new.metadata, errors)
}

fn validate_image(image: &Image) -> Result<(), Status> {
    into_status(&image.metadata, validate::image(image, &metadata::validate))
}

fn into_status(meta: &ObjectMeta, mut errors: field::Errors) -> Result<(), Status> {
    errors.append(metadata::validate(meta));
    let resource = GroupResource { group: "image.openshift.io", name: "imagestreams" };
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(resource, &meta.name, &errors)) }
}

/// Encodes an error as in a response.
fn encode_error<T>(result: Result<T, Status>) {
    if let Err(status) = result {
        json::encode(&status);
    }
}

/// A stream with these numbers of labels, tags, finalizers and managers. Each manager owns one
/// label. The fuzzer owns all labels, or one if there are no managers.
fn stored([labels, tags, finalizers, managers]: [usize; 4]) -> ImageStream {
    let keys = |count: usize, key: fn(usize) -> String, value: Value| -> Map<String, Value> {
        (0..count).map(|at| (key(at), value.clone())).collect()
    };
    let tag = |at: usize| json!({"name": format!("t{at:05}"), "from": {"kind": "DockerImage", "name": "r.io/a:1"}});
    let owner = |manager: String, fields: Map<String, Value>| {
        json!({"manager": manager, "operation": "Apply", "apiVersion": GROUP_VERSION, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": fields}}})
    };
    let own = if managers > 0 { labels } else { 1 };
    let own = owner("fuzzer".into(), keys(own, |at| format!("f:k{at}"), json!({})));
    let each = (0..managers)
        .map(|at| owner(format!("m{at}"), Map::from_iter([(format!("f:k{at}"), json!({}))])));
    let stream = json!({
        "metadata": {
            "name": "s", "namespace": "n", "uid": "u", "resourceVersion": "7",
            "labels": keys(labels, |at| format!("k{at}"), json!("v")),
            "finalizers": (0..finalizers).map(|at| format!("x/f{at}")).collect::<Vec<_>>(),
            "managedFields": each.chain([own]).collect::<Vec<_>>(),
        },
        "spec": {"tags": (0..tags).map(tag).collect::<Vec<_>>()},
    });
    value::object_from(stream).expect("the value is a stream")
}

/// Steps that a function takes.
fn steps(run: impl FnOnce()) -> f64 {
    cpu_time(run).as_secs_f64() / *STEP
}

/// CPU time of this thread during a call.
fn cpu_time(run: impl FnOnce()) -> Duration {
    let now = || clock_gettime(ClockId::ThreadCPUTime);
    let start = now();
    run();
    let end = now();
    Duration::new((end.tv_sec - start.tv_sec) as u64, 0) + Duration::from_nanos(end.tv_nsec as u64)
        - Duration::from_nanos(start.tv_nsec as u64)
}

/// Time to decode one byte of an ordinary body, in seconds.
static STEP: LazyLock<f64> = LazyLock::new(|| {
    let body = json::encode(&value::to_value(&stored([500, 500, 0, 0]), API));
    let cx = request("application/json", &body);
    let decode = || {
        decode::object::<ImageStream>(&cx, API, &SCHEMA, FieldValidation::Ignore)
            .expect("the value is a stream");
    };
    let best = (0..2 * MEASUREMENTS)
        .map(|_| cpu_time(decode))
        .min()
        .expect("there is at least one measurement");
    best.as_secs_f64() / body.len() as f64
});
