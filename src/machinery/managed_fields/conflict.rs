//! Conflicts of server-side apply (`NewConflictError` in
//! `k8s.io/apimachinery/pkg/util/managedfields/internal/conflict.go`).

use super::field_set::FieldSet;
use super::owners::{ManagedFieldsOperation, ManagerId};
use crate::meta::{Limited, Status, StatusCause, StatusDetails, excerpt, field};

/// The changed fields of another owner.
#[derive(Clone, Debug)]
pub(super) struct Conflict {
    pub(super) owner: ManagerId,
    pub(super) fields: FieldSet,
}

/// 409 with the conflicts, sorted by owner. The total counts all of them; the list has a maximum
/// length.
pub(super) fn conflict_error(mut conflicts: Vec<Conflict>) -> Status {
    conflicts.sort_by(|a, b| a.owner.cmp(&b.owner));
    let count: usize = conflicts.iter().map(|conflict| conflict.fields.len()).sum();
    let (mut causes, mut lines): (Limited<StatusCause>, Limited<String>) = Default::default();
    for conflict in conflicts {
        if causes.is_full() {
            break;
        }
        let owner = describe(&conflict.owner);
        let paths = conflict.fields.paths();
        lines.push_with(|| format!("conflicts with {owner}:"));
        lines.extend(paths.iter().map(|path| format!("- {path}")));
        causes.extend(paths.into_iter().map(|path| StatusCause {
            reason: "FieldManagerConflict".into(),
            message: format!("conflict with {owner}"),
            field: path,
        }));
    }
    let text = match &causes[..] {
        [one] => format!("Apply failed with 1 conflict: {}: {}", one.message, one.field),
        causes => {
            let more = if lines.is_cut() || causes.len() < count {
                "\nand more, which are not shown"
            } else {
                ""
            };
            format!("Apply failed with {count} conflicts: {}{more}", lines.join("\n"))
        }
    };
    Status::failure(409, "Conflict", text)
        .with_details(StatusDetails { causes: causes.into_vec(), ..StatusDetails::default() })
}

fn describe(owner: &ManagerId) -> String {
    let mut text = field::quote(&owner.manager);
    if !owner.subresource.is_empty() {
        text += &format!(" with subresource {}", field::quote(&owner.subresource));
    }
    if owner.operation == ManagedFieldsOperation::Update {
        text += &format!(" using {}", excerpt::of(&owner.api_version));
    }
    text
}
