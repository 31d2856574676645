//! `imagestreams`: stored; responses contain computed repositories.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::json;

use super::api_version::API;
use super::catalog::Catalog;
use super::columns::{self, NAME, UPDATED};
use crate::api::{ImageStream, NamedTagEventList};
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::endpoints::table::{Columns, age};
use crate::meta::Time;
use crate::registry::verbs::Scope;

/// The endpoint of the resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    let streams = &catalog.streams;
    Builder::new(API, "imagestreams", Scope::Namespaced)
        .names("imagestream", &["is"])
        .categories(&["all"])
        .stored()
        .columns(&COLUMNS)
        .create(streams)
        .delete(streams)
        .delete_collection(streams)
        .get(streams)
        .list(streams)
        .update(streams)
        .watch(streams)
        .build()
}

/// The description of the repository column.
const REPOSITORY: &str = "dockerImageRepository represents the effective location this stream may be accessed at. May be empty \
                          until the server determines where the repository is located";

/// The table columns.
pub(super) static COLUMNS: Columns<ImageStream> = Columns {
    definitions: &[
        NAME,
        columns::text("Image Repository", REPOSITORY, 0),
        columns::text("Tags", "Human readable list of tags.", 0),
        columns::text("Updated", UPDATED, 0),
    ],
    cells: |stream, now| {
        vec![
            json!(stream.metadata.name),
            json!(repository(stream)),
            json!(tags_cell(stream)),
            json!(updated_cell(stream, now)),
        ]
    },
};

fn repository(stream: &ImageStream) -> &str {
    let candidates = [
        &stream.status.public_docker_image_repository,
        &stream.spec.docker_image_repository,
        &stream.status.docker_image_repository,
    ];
    candidates.into_iter().find(|repository| !repository.is_empty()).map_or("", String::as_str)
}

/// The time of the last event of a tag.
fn updated(tag: &NamedTagEventList) -> Option<Time> {
    tag.items.first().and_then(|event| event.created)
}

fn updated_cell(stream: &ImageStream, now: Time) -> String {
    let tags = &stream.status.tags;
    let newest = tags.iter().filter(|tag| !tag.items.is_empty()).map(updated).max();
    newest.map_or_else(String::new, |newest| age(now, newest))
}

/// The tags, latest first, as many as fit.
fn tags_cell(stream: &ImageStream) -> String {
    /// The width of the cell, in bytes of names and commas.
    const ROOM: usize = 40;
    /// The maximum overflow of the last name, if more than this was left for it.
    const LEEWAY: usize = 10;
    let mut tags: Vec<&NamedTagEventList> = stream.status.tags.iter().collect();
    tags.sort_by_key(|tag| (Reverse(updated(tag)), &tag.tag));
    let (mut shown, mut used) = (0, 0);
    for tag in &tags {
        let (left, needed) = (ROOM.saturating_sub(used), tag.tag.len() + 1);
        let fits = needed <= left || (left > LEEWAY && needed - left <= LEEWAY);
        if shown > 0 && !fits {
            break;
        }
        (shown, used) = (shown + 1, used + needed);
    }
    let names: Vec<&str> = tags[..shown].iter().map(|tag| tag.tag.as_str()).collect();
    match tags.len() - shown {
        0 => names.join(","),
        more => format!("{} + {more} more...", names.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TagEvent;

    fn stream(tags: &[(&str, i64)]) -> ImageStream {
        let mut stream = ImageStream::default();
        for (name, seconds) in tags {
            let event = TagEvent {
                created: Some(Time::from_unix_seconds(*seconds)),
                ..TagEvent::default()
            };
            stream.status.tags.push(NamedTagEventList {
                tag: (*name).into(),
                items: vec![event].into(),
                conditions: vec![],
            });
        }
        stream
    }

    #[test]
    fn tags_cell_lists_newest_tags_that_fit() {
        assert_eq!(tags_cell(&stream(&[("b", 1), ("a", 1), ("c", 2)])), "c,a,b");
        let names: Vec<String> = (0..50).map(|number| format!("t{number:02}")).collect();
        let many: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 0)).collect();
        assert_eq!(
            tags_cell(&stream(&many)),
            "t00,t01,t02,t03,t04,t05,t06,t07,t08,t09 + 40 more..."
        );
        let long = "x".repeat(60);
        assert_eq!(tags_cell(&stream(&[(&long, 2), ("a", 1)])), format!("{long} + 1 more..."));
    }
}
