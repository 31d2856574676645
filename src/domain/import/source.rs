//! Sources of imported tags: the digests by which a later check recognizes that nothing changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::plan::ManifestRequest;
use crate::api::{ImageStream, TagReference};
use crate::domain::tags;

/// Sources of the scheduled tags of a stream.
///
/// The digest of a source is not always in the history of the tag: in the mode `Legacy`, a manifest
/// list is represented by one of its images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportSources {
    /// UID of the stream. Sources of another stream of the same name do not count.
    pub uid: String,
    /// Sources by tag.
    pub tags: BTreeMap<String, ImportSource>,
}

/// Source of a tag at its last import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportSource {
    /// Fingerprint of the request that fetched the source ([`ManifestRequest::fingerprint`]).
    pub request: String,
    /// Digest of the manifest that the request returned.
    pub digest: String,
    /// Image that the tag got.
    pub image: String,
}

impl ImportSources {
    /// Returns the digest that the source of a tag had when the current image of the tag was
    /// imported by this request; `None` if the tag changed since, or is not known.
    pub fn digest_of(
        &self,
        stream: &ImageStream,
        tag: &str,
        request: &ManifestRequest,
    ) -> Option<&str> {
        let source = self.tags.get(tag).filter(|_| self.uid == stream.metadata.uid)?;
        let is_current = source.is_of(stream, tag) && source.request == request.fingerprint();
        is_current.then_some(source.digest.as_str())
    }

    /// Returns the sources after an import that fetched `fetched` and has changed `stream` already.
    /// Tags that have another image, or are not scheduled, have no source.
    pub fn updated(&self, stream: &ImageStream, fetched: &BTreeMap<String, ImportSource>) -> Self {
        let uid = stream.metadata.uid.clone();
        let known = (self.uid == uid).then_some(&self.tags);
        let scheduled = stream.spec.tags.iter().filter(|tag| tag.import_policy.scheduled);
        let tags = scheduled.filter_map(|TagReference { name, .. }| {
            let is_current = |source: &&ImportSource| source.is_of(stream, name);
            let source = fetched.get(name).filter(is_current);
            let source = source.or_else(|| known?.get(name).filter(is_current))?;
            Some((name.clone(), source.clone()))
        });
        let tags = tags.collect();
        Self { uid, tags }
    }
}

impl ImportSource {
    /// Returns true if the newest image of a tag comes from this source.
    fn is_of(&self, stream: &ImageStream, tag: &str) -> bool {
        tags::latest_event(stream, tag).is_some_and(|event| event.image == self.image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ImageStreamImport, NamedTagEventList, ObjectReference, TagEvent};
    use crate::domain::import::{ImportPlan, tag_import};

    /// A stream with the scheduled tag `t`, whose newest image is `child`.
    fn stream() -> ImageStream {
        let mut stream = ImageStream::default();
        stream.metadata.uid = "u".into();
        let mut tag = TagReference { name: "t".into(), ..TagReference::default() };
        let (kind, name) = ("DockerImage".into(), "r.io/a:x".into());
        tag.from = Some(ObjectReference { kind, name, ..ObjectReference::default() });
        tag.import_policy.scheduled = true;
        stream.spec.tags = vec![tag];
        let items = vec![TagEvent { image: "child".into(), ..TagEvent::default() }];
        stream.status.tags =
            vec![NamedTagEventList { tag: "t".into(), items: items.into(), conditions: vec![] }];
        stream
    }

    fn request(stream: &ImageStream) -> ManifestRequest {
        let mut import = ImageStreamImport::default();
        import.spec.images = stream.spec.tags.iter().filter_map(tag_import).collect();
        ImportPlan::new(&import, Some(stream)).requests.remove(0)
    }

    fn fetched(stream: &ImageStream) -> BTreeMap<String, ImportSource> {
        let request = request(stream).fingerprint();
        let source = ImportSource { request, digest: "list".into(), image: "child".into() };
        [("t".to_owned(), source)].into()
    }

    #[test]
    fn digest_counts_until_source_or_image_change() {
        let before = stream();
        let sources = ImportSources::default().updated(&before, &fetched(&before));
        let digest = |stream: &ImageStream| {
            sources.digest_of(stream, "t", &request(stream)).map(str::to_owned)
        };
        assert_eq!(digest(&before).as_deref(), Some("list"));
        type Edit = fn(&mut ImageStream);
        let edits: [Edit; 5] = [
            |stream| stream.metadata.uid = "other".into(),
            |stream| stream.status.tags[0].items[0].image = "pushed".into(),
            |stream| stream.spec.tags[0].from.as_mut().unwrap().name = "r.io/a:y".into(),
            |stream| stream.spec.tags[0].import_policy.import_mode = "PreserveOriginal".into(),
            |stream| {
                let key = "importer.image.openshift.io/prefer-arch".to_owned();
                stream.spec.tags[0].annotations = Some([(key, "s390x".to_owned())].into());
            },
        ];
        for (at, edit) in edits.into_iter().enumerate() {
            let mut after = before.clone();
            edit(&mut after);
            assert_eq!(digest(&after), None, "edit {at}");
        }
    }

    #[test]
    fn sources_follow_the_scheduled_tags() {
        let mut stream = stream();
        let fetched = fetched(&stream);
        let sources = ImportSources::default().updated(&stream, &fetched);
        assert_eq!(sources.updated(&stream, &BTreeMap::new()), sources);
        let text = serde_json::to_string(&sources).unwrap();
        assert_eq!(serde_json::from_str::<ImportSources>(&text).unwrap(), sources);
        let mut pushed = stream.clone();
        pushed.status.tags[0].items[0].image = "pushed".into();
        assert!(sources.updated(&pushed, &fetched).tags.is_empty());
        stream.spec.tags[0].import_policy.scheduled = false;
        assert!(sources.updated(&stream, &fetched).tags.is_empty());
    }
}
