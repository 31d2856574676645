//! Validation of image stream imports.

use super::reference_form;
use crate::api::{ImageImportSpec, ImageStreamImport, RepositoryImportSpec, TagImportPolicy};
use crate::domain::reference::Reference;
use crate::meta::field;

/// Maximum number of images in one import. openshift-apiserver has no limit.
const MAX_IMAGES: usize = 1000;

/// Validates `import` except its metadata, as `ValidateImageStreamImport` in openshift-apiserver.
///
/// Reference policies and the names of target tags are not restricted.
pub fn stream_import(import: &ImageStreamImport) -> field::Errors {
    let spec = &import.spec;
    if spec.images.len() > MAX_IMAGES {
        return field::Error::too_many("spec.images", spec.images.len(), MAX_IMAGES).into();
    }
    let images = spec.images.iter().enumerate().flat_map(|(at, spec)| {
        image(spec).into_iter().map(move |error| error.under(format_args!("spec.images[{at}]")))
    });
    let mut errors: field::Errors = images.collect();
    let repositories = spec.repository.iter().flat_map(repository);
    errors.extend(repositories.map(|error| error.under("spec.repository")));
    if spec.images.is_empty() && spec.repository.is_none() {
        let rule = "you must specify at least one image or a repository import";
        errors.push_with(|| field::Error::invalid_value("spec.images", "null", rule));
    }
    errors
}

fn image(spec: &ImageImportSpec) -> field::Errors {
    let mut errors = field::Errors::default();
    let name = &spec.from.name;
    if spec.from.kind != "DockerImage" {
        errors.push_with(|| unsupported_kind(&spec.from.kind));
        return errors;
    }
    if spec.to.as_ref().is_some_and(|to| to.name.is_empty()) {
        let rule = "the name of the target tag must be specified";
        errors.push_with(|| field::Error::invalid("to.name", "", rule));
    }
    match name.as_str() {
        "" => errors.push_with(|| field::Error::required("from.name", "")),
        // An early form of a repository import, which fails later.
        "*" => return errors,
        name => errors.extend(reference_form("from.name", name)),
    }
    errors.extend(import_mode(&spec.import_policy));
    errors
}

fn repository(spec: &RepositoryImportSpec) -> field::Errors {
    let mut errors = field::Errors::default();
    let name = &spec.from.name;
    if spec.from.kind != "DockerImage" {
        errors.push_with(|| unsupported_kind(&spec.from.kind));
        return errors;
    }
    match name.parse::<Reference>() {
        _ if name.is_empty() => errors.push_with(|| {
            field::Error::required("from.name", "container image references require a name")
        }),
        Err(error) => errors.push_with(|| field::Error::invalid("from.name", name, error)),
        Ok(reference) if !reference.tag.is_empty() || !reference.id.is_empty() => {
            let rule = "you must specify an image repository, not a tag or ID";
            errors.push_with(|| field::Error::invalid("from.name", name, rule));
        }
        Ok(_) => {}
    }
    errors.extend(import_mode(&spec.import_policy));
    errors
}

fn unsupported_kind(kind: &str) -> field::Error {
    field::Error::invalid("from.kind", kind, "only DockerImage is supported")
}

/// Validates the mode of a policy, under `importPolicy.importMode`.
pub(super) fn import_mode(policy: &TagImportPolicy) -> Option<field::Error> {
    let mode = &policy.import_mode;
    let is_known = matches!(mode.as_str(), "" | "Legacy" | "PreserveOriginal");
    let rule = "invalid import mode, valid modes are '', 'Legacy', 'PreserveOriginal'";
    (!is_known).then(|| field::Error::invalid("importPolicy.importMode", mode, rule))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::LocalObjectReference;

    fn of_image(kind: &str, name: &str, to: Option<&str>) -> String {
        let mut spec = ImageImportSpec::default();
        (spec.from.kind, spec.from.name) = (kind.into(), name.into());
        spec.to = to.map(|name| LocalObjectReference { name: name.into() });
        let mut import = ImageStreamImport::default();
        import.spec.images = vec![spec];
        field::join(&stream_import(&import))
    }

    fn of_repository(kind: &str, name: &str) -> String {
        let mut spec = RepositoryImportSpec::default();
        (spec.from.kind, spec.from.name) = (kind.into(), name.into());
        let mut import = ImageStreamImport::default();
        import.spec.repository = Some(spec);
        field::join(&stream_import(&import))
    }

    #[test]
    fn import_needs_images_or_a_repository() {
        let text = "spec.images: Invalid value: null: you must specify at least one image or a repository import";
        assert_eq!(field::join(&stream_import(&ImageStreamImport::default())), text);
        assert_eq!(of_image("DockerImage", "r.io/a:t", Some("a b")), "[]");
        assert_eq!(of_image("DockerImage", "*", None), "[]");
        assert_eq!(of_repository("DockerImage", "r.io/a"), "[]");
    }

    #[test]
    fn image_errors_name_the_image() {
        let at = "spec.images[0]";
        let kind = "Invalid value: \"Pod\": only DockerImage is supported";
        assert_eq!(of_image("Pod", "", None), format!("{at}.from.kind: {kind}"));
        let empty = format!("{at}.from.name: Required value");
        assert_eq!(of_image("DockerImage", "", None), empty);
        let form = "Invalid value: \"A B\": invalid reference format";
        assert_eq!(of_image("DockerImage", "A B", None), format!("{at}.from.name: {form}"));
        let target = "Invalid value: \"\": the name of the target tag must be specified";
        assert_eq!(of_image("DockerImage", "a", Some("")), format!("{at}.to.name: {target}"));
    }

    #[test]
    fn repository_has_no_tag_and_no_digest() {
        let name = "spec.repository.from.name";
        let rule = "you must specify an image repository, not a tag or ID";
        let tagged = format!("{name}: Invalid value: \"a:t\": {rule}");
        assert_eq!(of_repository("DockerImage", "a:t"), tagged);
        let empty = format!("{name}: Required value: container image references require a name");
        assert_eq!(of_repository("DockerImage", ""), empty);
        let kind = "spec.repository.from.kind: Invalid value: \"\": only DockerImage is supported";
        assert_eq!(of_repository("", ""), kind);
    }

    #[test]
    fn number_of_images_has_a_limit() {
        let mut import = ImageStreamImport::default();
        let mut spec = ImageImportSpec::default();
        (spec.from.kind, spec.from.name) = ("DockerImage".into(), "a".into());
        import.spec.images = vec![spec; MAX_IMAGES];
        assert_eq!(field::join(&stream_import(&import)), "[]");
        import.spec.images.push(ImageImportSpec::default());
        let text = "spec.images: Too many: 1001: must have at most 1000 items";
        assert_eq!(field::join(&stream_import(&import)), text);
    }
}
