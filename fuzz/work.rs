//! The work that a body causes, as a bound that every loop behind a request must keep: `C * n * log2(n)` steps for `n` bytes
//! of body and stored object.
//!
//! Steps are counted by the clock of the thread: one step is the time that one byte of an ordinary JSON body takes to be
//! decoded by the same build on the same machine. So no loop needs to be marked to be counted, and what libraries do (moving,
//! comparing and copying memory above all) counts as well.

use std::sync::LazyLock;
use std::time::Duration;

use imagestream_apiserver::api::{GROUP_VERSION, Image, ImageStream};
use imagestream_apiserver::domain::registries::Registries;
use imagestream_apiserver::domain::resolve::{Resolution, SourceStreams};
use imagestream_apiserver::domain::stream_strategy::{self, WriteTarget};
use imagestream_apiserver::domain::tag_history::MaxTagHistory;
use imagestream_apiserver::domain::validate;
use imagestream_apiserver::endpoints::codec;
use imagestream_apiserver::endpoints::options::{Purpose, WriteOptions};
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

/// The factor of the bound. Ordinary writes take 0.1 to 1.3: a body is parsed twice (once for `fieldValidation`), fitted to
/// its type, compared with the stored object, given owners and validated, where the unit is decoding alone. YAML whose
/// references unfold as far as they may takes 3.
const C: f64 = 4.0;
/// The fewest bytes that count. Below, what every request takes weighs more than its bytes.
const FEWEST: usize = 4 << 10;
/// The fewest bytes that count for YAML. A shorter body may expand to as many nodes as one of this length, so that people can
/// share parts of a small document.
const FEWEST_YAML: usize = 40 << 10;
/// The longest body.
const MOST_BODY: usize = 64 << 10;
/// The most labels, tags, finalizers and managers of the stored stream.
const MOST_PARTS: usize = 60_000;
/// The parameter of media types of images; other bodies are about the stored stream.
const OF_IMAGE: &str = ";kind=Image";
/// The attempts to keep the bound. Other programs on the machine can only make an attempt slower.
const ATTEMPTS: usize = 3;

/// An input: a line with the media type, a line with four numbers (labels, tags, finalizers and managers of the stored
/// stream), and the body.
struct Case<'a> {
    media: &'a str,
    parts: [usize; 4],
    body: &'a [u8],
}

/// Asserts that a body keeps the bound.
pub fn work(bytes: &[u8]) {
    let Some(case) = Case::read(bytes) else { return };
    let stored = stored(case.parts);
    let n = (case.body.len() + json::encode(&stored).len()).max(case.fewest()) as f64;
    let allowed = C * n * n.log2();
    let mut least = f64::INFINITY;
    for _ in 0..ATTEMPTS {
        least = least.min(steps(|| case.run(&stored)));
        if least <= allowed {
            return;
        }
    }
    panic!("{} takes {least:.0} steps, {:.1} times as many as {n} bytes may", case.media, least / allowed);
}

impl<'a> Case<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
        let media = std::str::from_utf8(lines.next()?).ok()?;
        let mut numbers = std::str::from_utf8(lines.next()?).ok()?.split(' ');
        let mut number =
            || numbers.next().and_then(|number| number.parse().ok()).map(|number: usize| number.min(MOST_PARTS));
        let parts = [number()?, number()?, number()?, number()?];
        let body = lines.next()?;
        (body.len() <= MOST_BODY).then_some(Self { media, parts, body })
    }

    /// The least `n` of the bound, in bytes.
    fn fewest(&self) -> usize {
        if self.media.contains("yaml") { FEWEST_YAML } else { FEWEST }
    }

    /// What a write does with the body, up to the object that would be stored or the error.
    fn run(&self, stored: &ImageStream) {
        if MEDIA_TYPES.contains(&self.media) {
            answer(self.patched(stored).and_then(|new| settled(stored, new)));
            return;
        }
        let cx = request(self.media, self.body);
        let warn = FieldValidation::Warn;
        if self.media.ends_with(OF_IMAGE) {
            answer(codec::decode::<Image>(&cx, API, &IMAGE_SCHEMA, warn).and_then(|image| validated(&image.object)));
            return;
        }
        answer(codec::decode::<ImageStream>(&cx, API, &SCHEMA, warn).and_then(|decoded| {
            let options = WriteOptions::read(&cx, Purpose::Update)?;
            let edit = UpdatedObjectInfo::from_object(decoded, &SCHEMA, API);
            settled(stored, wanted(&edit, &options, stored)?)
        }));
    }

    fn patched(&self, stored: &ImageStream) -> Result<ImageStream, Status> {
        let options = WriteOptions::read(&request(self.media, b""), Purpose::of_patch(self.media))?;
        let edit = UpdatedObjectInfo::from_patch(
            Patch::read(self.media, self.body)?,
            options.validation,
            options.conflicts,
            &SCHEMA,
            API,
        );
        wanted(&edit, &options, stored)
    }
}

/// The object that an edit leads to, with its owners.
fn wanted(
    edit: &UpdatedObjectInfo<ImageStream>,
    options: &WriteOptions,
    stored: &ImageStream,
) -> Result<ImageStream, Status> {
    let now = request("", b"").actor.now;
    let (name, api_version) = (options.field_manager.clone(), GROUP_VERSION);
    let writer = Manager { name, subresource: "", api_version, time: now, ignored: &["status"] };
    let present = ExistingObject::new(stored, API);
    let mut object = edit.updated_object(Some(&present), &writer)?.object;
    object.metadata.managed_fields = edit.managed_fields(Some(&present), &object, &writer)?;
    Ok(object)
}

/// The stream as it would be stored: its tags resolved, all of it validated.
fn settled(stored: &ImageStream, mut new: ImageStream) -> Result<(), Status> {
    stream_strategy::prepare_for_update(stored, &mut new, WriteTarget::Tag);
    let (others, registries) = (SourceStreams::default(), Registries::default());
    let resolution = Resolution {
        old: Some(stored),
        others: &others,
        registries: &registries,
        max_history: MaxTagHistory::default(),
        route: WriteTarget::Tag,
        now: request("", b"").actor.now,
    };
    let mut faults = resolution.run(&mut new);
    faults.append(validate::stream_update(stored, &new));
    refused(&new.metadata, faults)
}

fn validated(image: &Image) -> Result<(), Status> {
    refused(&image.metadata, validate::image(image, &metadata::faults))
}

fn refused(meta: &ObjectMeta, mut faults: field::Errors) -> Result<(), Status> {
    faults.append(metadata::faults(meta));
    let resource = GroupResource { group: "image.openshift.io", name: "imagestreams" };
    if faults.is_empty() { Ok(()) } else { Err(Status::invalid(resource, &meta.name, &faults)) }
}

/// Writes an error as clients get it.
fn answer<T>(result: Result<T, Status>) {
    if let Err(status) = result {
        json::encode(&status);
    }
}

/// A stream with this many labels, tags, finalizers and managers. Each manager owns a label, and the fuzzer all labels, or one
/// where there are no managers.
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
    let each = (0..managers).map(|at| owner(format!("m{at}"), Map::from_iter([(format!("f:k{at}"), json!({}))])));
    let stream = json!({
        "metadata": {
            "name": "s", "namespace": "n", "uid": "u", "resourceVersion": "7",
            "labels": keys(labels, |at| format!("k{at}"), json!("v")),
            "finalizers": (0..finalizers).map(|at| format!("x/f{at}")).collect::<Vec<_>>(),
            "managedFields": each.chain([own]).collect::<Vec<_>>(),
        },
        "spec": {"tags": (0..tags).map(tag).collect::<Vec<_>>()},
    });
    value::object_from(stream).expect("it is a stream")
}

/// The steps that a function takes.
fn steps(run: impl FnOnce()) -> f64 {
    spent(run).as_secs_f64() / *STEP
}

/// How long this thread has been at work meanwhile.
fn spent(run: impl FnOnce()) -> Duration {
    let now = || clock_gettime(ClockId::ThreadCPUTime);
    let start = now();
    run();
    let end = now();
    Duration::new((end.tv_sec - start.tv_sec) as u64, 0) + Duration::from_nanos(end.tv_nsec as u64)
        - Duration::from_nanos(start.tv_nsec as u64)
}

/// The time that a byte of an ordinary body takes to be decoded, in seconds.
static STEP: LazyLock<f64> = LazyLock::new(|| {
    let body = json::encode(&value::to_value(&stored([500, 500, 0, 0]), API));
    let cx = request("application/json", &body);
    let decode = || {
        codec::decode::<ImageStream>(&cx, API, &SCHEMA, FieldValidation::Ignore).expect("it is a stream");
    };
    let best = (0..2 * ATTEMPTS).map(|_| spent(decode)).min().expect("there are some attempts");
    best.as_secs_f64() / body.len() as f64
});
