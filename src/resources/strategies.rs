//! What is special about the two stored kinds.

use super::{lists, record};
use crate::api::{Image, ImageStream, ImageStreamStatus};
use crate::domain::policy::Registries;
use crate::domain::{intake, names, validate};
use crate::meta::{field, path_segment_faults};
use crate::rest::metadata;
use crate::rest::stored::Strategy;
use crate::store::Change;

/// What is special about stored images.
pub struct ImageStrategy;

impl Strategy<Image> for ImageStrategy {
    fn prepare_create(&self, image: &mut Image) {
        intake::prepare_new(image);
    }

    fn name_faults(&self, name: &str) -> Vec<&'static str> {
        path_segment_faults(name)
    }

    fn validate(&self, image: &Image) -> Vec<field::Error> {
        validate::image(image, &metadata::faults)
    }

    fn present(&self, _: &mut Image) {}

    fn companions(&self, name: &str, old: Option<&Image>, new: Option<&Image>) -> Vec<Change> {
        let mut changes = lists::changes(old, new);
        changes.push(record::change(name, new));
        changes
    }
}

const SPEC_REPOSITORY: &str = "spec.dockerImageRepository";
const STATUS_REPOSITORY: &str = "status.dockerImageRepository";

/// What is special about stored streams.
pub struct StreamStrategy {
    /// Where images are pulled from and pushed to.
    pub registries: Registries,
}

impl Strategy<ImageStream> for StreamStrategy {
    fn prepare_create(&self, stream: &mut ImageStream) {
        stream.status = ImageStreamStatus::default();
        stream.metadata.generation = 1;
        stream.spec.tags.iter_mut().for_each(|tag| tag.generation = Some(1));
        self.registries.decorate(stream);
    }

    fn selectable_fields(&self) -> &'static [&'static str] {
        &[SPEC_REPOSITORY, STATUS_REPOSITORY]
    }

    fn field(&self, stream: &ImageStream, name: &str) -> String {
        match name {
            SPEC_REPOSITORY => stream.spec.docker_image_repository.clone(),
            _ => stream.status.docker_image_repository.clone(),
        }
    }

    fn name_faults(&self, name: &str) -> Vec<&'static str> {
        names::stream_name_faults(name)
    }

    fn validate(&self, stream: &ImageStream) -> Vec<field::Error> {
        validate::stream(stream)
    }

    fn present(&self, stream: &mut ImageStream) {
        self.registries.decorate(stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{NamedTagEventList, TagEvent};

    #[test]
    fn a_stream_is_stored_and_read_back() {
        let strategy = StreamStrategy { registries: Registries::default() };
        let mut stream = ImageStream::default();
        for (tag, items) in [("empty", vec![]), ("full", vec![TagEvent { image: "i".into(), ..TagEvent::default() }])] {
            stream.status.tags.push(NamedTagEventList { tag: tag.into(), items, conditions: vec![] });
        }
        assert_eq!(strategy.decode(&strategy.encode(&stream)).unwrap(), stream);
    }
}
