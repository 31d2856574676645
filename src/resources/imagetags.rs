//! `imagetags`: spec and status of a tag, named `<stream>:<tag>`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::api_version::API;
use super::catalog::Catalog;
use super::columns::{self, NAME};
use super::tag_handler::{TagHandler, TagView};
use crate::api::{GROUP, Image, ImageStream, ImageTag, NamedTagEventList, TagReference};
use crate::domain::image_metadata::FillError;
use crate::domain::tag_edit::{self, TagWrite};
use crate::domain::{tag_comparison, tag_view, validate};
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::endpoints::table::{Column, Columns, age};
use crate::meta::{GroupResource, Status, Time, field};
use crate::registry::verbs::Scope;

/// The endpoint of the resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    let tags = Arc::new(TagHandler::<ImageTag>::new(catalog));
    Builder::new(API, "imagetags", Scope::Namespaced)
        .names("imagetag", &["itag"])
        .columns(&COLUMNS)
        .create(&tags)
        .delete(&tags)
        .get(&tags)
        .list(&tags)
        .update(&tags)
        .unadvertised_watch(&tags)
        .build()
}

const SPEC: &str = "spec is the spec tag associated with this image stream tag, and it may be null if only pushes have occurred \
                    to this image stream.";
const STATUS: &str = "status is the status tag details associated with this image stream tag, and it may be null if no push or \
                      import has been performed.";

static COLUMNS: Columns<ImageTag> = Columns {
    definitions: &[
        NAME,
        columns::text("Spec", SPEC, 0),
        columns::text("Status", STATUS, 0),
        Column { r#type: "number", ..columns::text("History", "Number of history entries", 0) },
        columns::text("Updated", "Last updated at", 0),
    ],
    cells: |view, now| {
        let (spec, status) = spec_and_status(view);
        let history = view.status.as_ref().map_or(0, |status| status.items.len());
        let history = if history == 0 { Value::Null } else { json!(history) };
        let updated = updated(view).map_or_else(String::new, |time| age(now, time));
        vec![json!(view.metadata.name), json!(spec), json!(status), history, json!(updated)]
    },
};

/// The cells for spec and status of a tag.
fn spec_and_status(view: &ImageTag) -> (&'static str, String) {
    let (mut spec, mut origin) = view.spec.as_ref().map(spec_summary).unwrap_or_default();
    let mut status = match origin {
        TagOrigin::Invalid(word) => Some(word.to_owned()),
        _ => None,
    };
    let requested = view.spec.as_ref().and_then(|spec| spec.generation).unwrap_or_default();
    if let Some(event) = view.status.as_ref().and_then(|status| status.items.first()) {
        let (is_numbered, image) = (requested > 0 && event.generation > 0, &event.image);
        if is_numbered && event.generation < requested {
            status = Some("Importing".into());
        } else if !image.is_empty() {
            origin = TagOrigin::Known(format!("image/{image}"));
        } else if !event.docker_image_reference.is_empty() {
            origin = TagOrigin::Known(event.docker_image_reference.clone());
        }
        let is_newer = is_numbered && event.generation > requested;
        if spec != "Track" && (is_newer || (spec.is_empty() && origin.text().is_some())) {
            spec = "Push";
        }
    }
    if let Some(failure) = view.status.as_ref().and_then(import_failure) {
        status = Some(format!("ImportFailed ({failure})"));
    }
    (spec, status.unwrap_or_else(|| origin.text().unwrap_or_default().to_owned()))
}

/// The origin of a tag's image.
#[derive(Default)]
enum TagOrigin {
    /// The tag has no origin.
    #[default]
    None,
    /// The image or tag that the tag refers to.
    Known(String),
    /// An invalid reference, described by this word.
    Invalid(&'static str),
}

impl TagOrigin {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Known(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

/// The cell for the spec of a tag, and the origin that it names.
fn spec_summary(spec: &TagReference) -> (&'static str, TagOrigin) {
    let Some(from) = &spec.from else {
        return ("", TagOrigin::None);
    };
    let word = match (spec.import_policy.scheduled, spec.reference) {
        (true, _) => "Scheduled",
        (false, true) => "Ref",
        (false, false) => "Tag",
    };
    match from.kind.as_str() {
        "DockerImage" => (word, TagOrigin::Known(from.name.clone())),
        "ImageStreamImage" => match from.name.split_once('@') {
            Some((_, id)) => (word, TagOrigin::Known(format!("image/{id}"))),
            None => (word, TagOrigin::Invalid("InvalidRefName")),
        },
        "ImageStreamTag" => {
            let namespace = if from.namespace.is_empty() {
                String::new()
            } else {
                format!(" {}", from.namespace)
            };
            let word = if from.name.contains(':') { word } else { "Track" };
            (word, TagOrigin::Known(format!("istag{namespace}/{}", from.name)))
        }
        _ => (word, TagOrigin::Invalid("InvalidRefKind")),
    }
}

/// The reason of the last import failure; none if the last import succeeded.
fn import_failure(status: &NamedTagEventList) -> Option<&str> {
    let mut failures = status.conditions.iter().rev();
    let failed = failures
        .find(|condition| condition.r#type == "ImportSuccess" && condition.status == "False");
    failed.map(|condition| condition.reason.as_str())
}

/// The time of the last event or condition of a tag.
fn updated(view: &ImageTag) -> Option<Option<Time>> {
    let status = view.status.as_ref()?;
    let events = status.items.first().map(|event| event.created);
    events
        .into_iter()
        .chain(status.conditions.iter().map(|condition| condition.last_transition_time))
        .max()
}

impl TagView for ImageTag {
    const RESOURCE: GroupResource<'static> = GroupResource { group: GROUP, name: "imagetags" };
    const PLURAL_KIND: &'static str = "ImageTags";

    fn exists(stream: &ImageStream, tag: &str) -> bool {
        tag_view::exists(stream, tag)
    }

    fn check_missing_image(_: &str) -> Result<(), Status> {
        Ok(())
    }

    fn new(stream: &ImageStream, tag: &str, image: Option<Image>) -> Result<Self, FillError> {
        tag_view::image_tag(stream, tag, image)
    }

    fn listed_tags(stream: &ImageStream) -> Vec<&str> {
        tag_view::image_tags(stream)
    }

    fn is_same_stream(before: &ImageStream, after: &ImageStream) -> bool {
        tag_comparison::is_same_stream_of_image_tags(before, after)
    }

    fn is_same(before: &ImageStream, after: &ImageStream, tag: &str) -> bool {
        tag_comparison::is_same_image_tag(before, after, tag)
    }

    fn spec_tag(&self) -> (&'static str, Option<&TagReference>) {
        ("spec", self.spec.as_ref())
    }

    fn prepare_create(&mut self) {
        self.status = None;
        self.image = None;
        let name = tag_edit::tag_of_new(&self.metadata.name).to_owned();
        if let Some(spec) = self.spec.as_mut().filter(|spec| spec.name.is_empty()) {
            spec.name = name;
        }
    }

    fn create_errors(&self) -> field::Errors {
        validate::image_tag(self)
    }

    fn create(&self, stream: &mut ImageStream, tag: &str) -> Result<(), Status> {
        tag_edit::create_image_tag(stream, tag, self)
    }

    fn prepare_update(&mut self, _: &Self) {}

    fn update_errors(&self, old: &Self) -> field::Errors {
        validate::image_tag_update(old, self)
    }

    fn update(&self, stream: &mut ImageStream, tag: &str) -> Result<TagWrite, Status> {
        Ok(tag_edit::update_image_tag(stream, tag, self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ObjectReference, TagEvent, TagEventCondition};

    fn spec(kind: &str, name: &str) -> TagReference {
        let from =
            ObjectReference { kind: kind.into(), name: name.into(), ..ObjectReference::default() };
        TagReference { from: Some(from), generation: Some(2), ..TagReference::default() }
    }

    fn cells(
        spec: Option<TagReference>,
        event: Option<(&str, i64)>,
        failure: &str,
    ) -> (&'static str, String) {
        let items = event.map(|(image, generation)| TagEvent {
            image: image.into(),
            docker_image_reference: "r/a:1".into(),
            generation,
            created: None,
        });
        let condition = TagEventCondition {
            r#type: "ImportSuccess".into(),
            status: "False".into(),
            reason: failure.into(),
            ..TagEventCondition::default()
        };
        let conditions = if failure.is_empty() { vec![] } else { vec![condition] };
        let status = NamedTagEventList {
            items: items.into_iter().collect(),
            conditions,
            ..Default::default()
        };
        spec_and_status(&ImageTag { spec, status: Some(status), ..ImageTag::default() })
    }

    #[test]
    fn spec_cells_describe_the_source() {
        let of = |spec| cells(Some(spec), None, "");
        let scheduled = |mut spec: TagReference| {
            (spec.import_policy.scheduled, spec.reference) = (true, true);
            spec
        };
        let far = |mut spec: TagReference| {
            spec.from.as_mut().unwrap().namespace = "far".into();
            spec
        };
        assert_eq!(of(spec("DockerImage", "x")), ("Tag", "x".into()));
        assert_eq!(
            of(TagReference { reference: true, ..spec("DockerImage", "x") }),
            ("Ref", "x".into())
        );
        assert_eq!(of(scheduled(spec("DockerImage", "x"))), ("Scheduled", "x".into()));
        assert_eq!(of(spec("ImageStreamTag", "s:t")), ("Tag", "istag/s:t".into()));
        assert_eq!(of(far(spec("ImageStreamTag", "t"))), ("Track", "istag far/t".into()));
        assert_eq!(of(spec("ImageStreamImage", "s@1")), ("Tag", "image/1".into()));
        assert_eq!(of(spec("ImageStreamImage", "1")), ("Tag", "InvalidRefName".into()));
        assert_eq!(of(spec("Pod", "1")), ("Tag", "InvalidRefKind".into()));
        assert_eq!(of(TagReference::default()), ("", String::new()));
    }

    #[test]
    fn status_cells_prefer_the_latest_event() {
        let image_spec = || Some(spec("DockerImage", "x"));
        assert_eq!(cells(None, Some(("i", 1)), ""), ("Push", "image/i".into()));
        assert_eq!(cells(image_spec(), Some(("", 2)), ""), ("Tag", "r/a:1".into()));
        assert_eq!(cells(image_spec(), Some(("i", 1)), ""), ("Tag", "Importing".into()));
        assert_eq!(cells(image_spec(), Some(("i", 3)), ""), ("Push", "image/i".into()));
        assert_eq!(
            cells(Some(spec("ImageStreamTag", "t")), Some(("i", 3)), ""),
            ("Track", "image/i".into())
        );
        assert_eq!(
            cells(image_spec(), Some(("i", 2)), "Gone"),
            ("Tag", "ImportFailed (Gone)".into())
        );
    }
}
