//! Imports of images at the start of `quickstart`.

use super::sample;
use crate::api::{ImageImportSpec, ImageStreamImport, LocalObjectReference};
use crate::cli::stdout::print_line;
use crate::domain::reference::Reference;
use crate::server::Running;

/// Imports the image of a reference, and prints the progress and the result. A failed import does
/// not end the server.
pub(super) async fn import(running: &Running, reference: &Reference) {
    let import = import_of(reference);
    let name = import.metadata.name.clone();
    print_line(format_args!("Importing {} into the image stream {name} ...", reference.exact()));
    let client = running.client("quickstart");
    let created = client.create_import(&running.importer, sample::NAMESPACE, import).await;
    let status = created.map(|import| import.status.images.into_iter().next().unwrap_or_default());
    print_line(format_args!(
        "{}",
        match status {
            Err(status) => format!("The import failed: {}", status.message),
            Ok(result) => match result.image {
                None => format!("The import failed: {}", result.status.message),
                Some(image) => format!("Imported {}.", image.docker_image_reference),
            },
        }
    ));
}

/// An import into a stream with the last part of the repository as its name.
fn import_of(reference: &Reference) -> ImageStreamImport {
    let name = reference.name.rsplit('/').next().unwrap_or_default();
    let tag = if reference.tag.is_empty() { "latest" } else { &reference.tag };
    let mut image = ImageImportSpec {
        to: Some(LocalObjectReference { name: tag.into() }),
        ..ImageImportSpec::default()
    };
    image.from.kind = "DockerImage".into();
    image.from.name = reference.exact();
    // Registries on the same machine usually have no certificate.
    let host = &reference.registry;
    image.import_policy.insecure = host.starts_with("127.") || host.starts_with("localhost");
    let mut import = ImageStreamImport::default();
    import.metadata.name = name.into();
    import.spec.import = true;
    import.spec.images = vec![image];
    import
}

/// Parses a reference with a repository.
pub(super) fn parse(text: &str) -> Result<Reference, String> {
    match text.parse::<Reference>() {
        Ok(reference) if reference.name.is_empty() => Err("it names no repository".into()),
        Ok(reference) => Ok(reference),
        Err(why) => Err(why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_and_tag_are_named_by_the_reference() {
        let parts = |text: &str| {
            let import = import_of(&parse(text).unwrap());
            let image = &import.spec.images[0];
            (
                import.metadata.name.clone(),
                image.to.clone().unwrap().name,
                image.import_policy.insecure,
            )
        };
        assert_eq!(parts("quay.io/org/team/app:1"), ("app".into(), "1".into(), false));
        assert_eq!(parts("busybox"), ("busybox".into(), "latest".into(), false));
        assert_eq!(parts("127.0.0.1:5000/a"), ("a".into(), "latest".into(), true));
        assert!(parse("foo.bar").is_err() && parse("A B").is_err());
    }
}
