//! The options of create, update and patch requests.
//!
//! The rules are those of `ValidateCreateOptions`, `ValidateUpdateOptions` and
//! `ValidatePatchOptions` in k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::endpoints::context::RequestContext;
use crate::machinery::field_validation::FieldValidation;
use crate::machinery::managed_fields::ConflictPolicy;
use crate::machinery::media_type;
use crate::meta::{GroupResource, Status, excerpt, field};
use crate::registry::actor::{Actor, DryRun, MAX_FIELD_MANAGER_BYTES};

/// The kind of a write, which decides the valid options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// POST of a new object.
    Create,
    /// PUT of an object.
    Update,
    /// PATCH, except for apply.
    Patch,
    /// PATCH with an apply configuration (server-side apply).
    Apply,
}

/// The options of a write.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// The dry run mode.
    pub dry_run: DryRun,
    /// The treatment of unknown and duplicate fields.
    pub validation: FieldValidation,
    /// The name of the manager in `managedFields`.
    pub field_manager: String,
    /// The treatment of fields that another manager owns, for apply.
    pub conflicts: ConflictPolicy,
}

impl WriteKind {
    /// The kind of a patch with this media type.
    pub fn of_patch(content_type: &str) -> Self {
        let media_type = media_type::essence(content_type);
        if media_type.eq_ignore_ascii_case("application/apply-patch+yaml") {
            Self::Apply
        } else {
            Self::Patch
        }
    }

    /// The kind of the options in errors.
    fn options_kind(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Patch | Self::Apply => "PatchOptions",
        }
    }
}

impl WriteOptions {
    /// Reads the options of a request.
    ///
    /// # Errors
    /// 422 with all invalid options.
    pub fn read(cx: &RequestContext, kind: WriteKind) -> Result<Self, Status> {
        let text = |name| cx.query.get(name).unwrap_or_default();
        let (manager, level) = (text("fieldManager"), text("fieldValidation"));
        let dry_run: Vec<&str> = cx.query.all("dryRun").collect();
        let mut errors = field::Errors::default();
        match kind {
            WriteKind::Apply if manager.is_empty() => {
                errors.push_with(|| {
                    field::Error::required("fieldManager", "is required for apply patch")
                });
            }
            WriteKind::Patch if cx.query.get("force").is_some() => {
                errors.push_with(|| {
                    field::Error::forbidden("force", "may not be specified for non-apply patch")
                });
            }
            _ => {}
        }
        errors.append(field_manager_errors(manager));
        errors.extend(dry_run_error(&dry_run));
        let validation = parse_field_validation(level);
        if validation.is_none() {
            errors.push_with(|| {
                field::Error::unsupported(
                    "fieldValidation",
                    level,
                    &["", "Ignore", "Strict", "Warn"],
                )
            });
        }
        check_valid(kind.options_kind(), &errors)?;
        Ok(Self {
            dry_run: if dry_run.is_empty() { DryRun::Off } else { DryRun::All },
            validation: validation.unwrap_or_default(),
            field_manager: if manager.is_empty() {
                manager_from_user_agent(&cx.agent)
            } else {
                manager.to_owned()
            },
            conflicts: if cx.query.switch("force") {
                ConflictPolicy::Force
            } else {
                ConflictPolicy::Fail
            },
        })
    }

    /// The actor of a write with these options.
    pub fn actor(&self, cx: &RequestContext) -> Actor {
        let text = |name| cx.query.get(name).filter(|text| !text.is_empty());
        let mut options = Map::new();
        if self.dry_run == DryRun::All {
            options.insert("dryRun".into(), json!(["All"]));
        }
        for name in ["fieldManager", "fieldValidation"] {
            options.extend(text(name).map(|text| (name.to_owned(), text.into())));
        }
        Actor {
            dry_run: self.dry_run,
            field_manager: self.field_manager.clone(),
            options: Some(Arc::new(Value::Object(options))),
            ..cx.actor.clone()
        }
    }
}

/// Checks that options of a kind have no errors.
///
/// # Errors
/// 422 with the errors.
pub(crate) fn check_valid(kind: &str, errors: &field::Errors) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(GroupResource { group: "meta.k8s.io", name: kind }, "", errors))
}

/// The error for values other than `All` (`ValidateDryRun`).
pub(crate) fn dry_run_error(values: &[&str]) -> Option<field::Error> {
    if values.iter().all(|value| *value == "All") {
        return None;
    }
    let shown: Vec<String> = values.iter().map(|value| field::quote(value)).collect();
    let value = excerpt::of(format_args!("[{}]", shown.join(",")));
    let kind = field::ErrorKind::Unsupported { value, supported: vec!["All"] };
    Some(field::Error { field: "dryRun".into(), kind })
}

/// The errors of a manager's name (`ValidateFieldManager`).
fn field_manager_errors(name: &str) -> field::Errors {
    const FIELD: &str = "fieldManager";
    let mut errors = field::Errors::default();
    if name.len() > MAX_FIELD_MANAGER_BYTES {
        errors.push_with(|| field::Error::too_long(FIELD, MAX_FIELD_MANAGER_BYTES));
    }
    let unprintable = name.char_indices().filter(|(_, letter)| !field::is_printable(*letter));
    errors.extend(unprintable.map(|(at, letter)| {
        let rule = format!("invalid character U+{:04X} (at position {at})", u32::from(letter));
        field::Error::invalid(FIELD, name, rule)
    }));
    errors
}

fn parse_field_validation(text: &str) -> Option<FieldValidation> {
    match text {
        "" | "Warn" => Some(FieldValidation::Warn),
        "Strict" => Some(FieldValidation::Strict),
        "Ignore" => Some(FieldValidation::Ignore),
        _ => None,
    }
}

/// The program at the start of a `User-Agent`, cut to the length of a manager's name
/// (`prefixFromUserAgent` in k8s.io/apiserver/pkg/endpoints/handlers/create.go).
fn manager_from_user_agent(agent: &str) -> String {
    let program = agent.split('/').next().unwrap_or_default();
    let mut name = String::with_capacity(program.len().min(MAX_FIELD_MANAGER_BYTES));
    for letter in program.chars().filter(|letter| field::is_printable(*letter)) {
        if name.len() + letter.len_utf8() > MAX_FIELD_MANAGER_BYTES {
            break;
        }
        name.push(letter);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_field_manager_is_the_program_of_the_user_agent() {
        assert_eq!(manager_from_user_agent("kubectl/v1.34 (linux/amd64)"), "kubectl");
        assert_eq!(manager_from_user_agent("a\u{1}b"), "ab");
        assert_eq!(manager_from_user_agent(""), "");
        let long = "é".repeat(100);
        assert_eq!(manager_from_user_agent(&long), "é".repeat(64));
    }

    #[test]
    fn field_managers_are_short_and_printable() {
        let errors = |name: &str| field::join(&field_manager_errors(name));
        assert_eq!(
            errors("a\u{1}b"),
            "fieldManager: Invalid value: \"a\\x01b\": invalid character U+0001 (at position 1)"
        );
        assert_eq!(
            errors(&"m".repeat(129)),
            "fieldManager: Too long: may not be more than 128 bytes"
        );
        assert!(field_manager_errors("a name").is_empty() && field_manager_errors("").is_empty());
    }

    #[test]
    fn an_invalid_dry_run_error_shows_all_values() {
        assert_eq!(dry_run_error(&["All", "All"]), None);
        let error = dry_run_error(&["All", "x"]).map(|error| error.to_string());
        assert_eq!(
            error.as_deref(),
            Some("dryRun: Unsupported value: [\"All\",\"x\"]: supported values: \"All\"")
        );
    }
}
