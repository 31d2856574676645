//! What an apply is told that wants to change what others own.

use super::owners::{Identity, Operation};
use super::set::Set;
use crate::meta::{Cause, Details, Status, field};

/// Fields that an apply would change, and who owns them.
#[derive(Clone, Debug)]
pub(super) struct Conflict {
    pub(super) owner: Identity,
    pub(super) fields: Set,
}

/// 409: the conflicts, by owner.
pub(super) fn refusal(mut conflicts: Vec<Conflict>) -> Status {
    conflicts.sort_by(|a, b| a.owner.cmp(&b.owner));
    let told: Vec<(String, Vec<String>)> =
        conflicts.iter().map(|conflict| (shown(&conflict.owner), conflict.fields.paths())).collect();
    let causes: Vec<Cause> = told
        .iter()
        .flat_map(|(owner, paths)| paths.iter().map(move |path| (owner, path)))
        .map(|(owner, path)| Cause {
            reason: "FieldManagerConflict".into(),
            message: format!("conflict with {owner}"),
            field: path.clone(),
        })
        .collect();
    let text = match &causes[..] {
        [one] => format!("Apply failed with 1 conflict: {}: {}", one.message, one.field),
        several => format!("Apply failed with {} conflicts: {}", several.len(), lines(&told).join("\n")),
    };
    Status::failure(409, "Conflict", text).with_details(Details { causes, ..Details::default() })
}

fn lines(told: &[(String, Vec<String>)]) -> Vec<String> {
    let of_owner = |(owner, paths): &(String, Vec<String>)| {
        let paths: Vec<_> = paths.iter().map(|path| format!("- {path}")).collect();
        [vec![format!("conflicts with {owner}:")], paths].concat()
    };
    told.iter().flat_map(of_owner).collect()
}

fn shown(owner: &Identity) -> String {
    let mut text = field::quote(&owner.manager);
    if !owner.subresource.is_empty() {
        text += &format!(" with subresource {}", field::quote(&owner.subresource));
    }
    if owner.operation == Operation::Update {
        text += &format!(" using {}", owner.api_version);
    }
    text
}
