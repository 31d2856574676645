//! The options of a request that changes something: dry run, field validation, who writes, whether conflicts count.

use crate::endpoints::context::RequestContext;
use crate::machinery::field_validation::FieldValidation;
use crate::machinery::managed_fields::ConflictPolicy;
use crate::machinery::media_type;
use crate::meta::{GroupResource, Status, excerpt, field};
use crate::registry::actor::{Actor, DryRun, MAX_FIELD_MANAGER_BYTES};

/// What a request does, as far as its options depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// Makes an object.
    Create,
    /// Replaces one.
    Update,
    /// Patches one.
    Patch,
    /// Patches one with all that a writer wants of it.
    Apply,
}

/// The options of a request that changes something.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Whether anything is written.
    pub dry_run: DryRun,
    /// What is done about fields that are not known, or are there twice.
    pub validation: FieldValidation,
    /// Who writes, as managedFields name it.
    pub field_manager: String,
    /// What is done about fields of others; an apply asks that.
    pub conflicts: ConflictPolicy,
}

impl WriteKind {
    /// What a patch of this media type does.
    pub fn of_patch(content_type: &str) -> Self {
        let media_type = media_type::essence(content_type);
        if media_type.eq_ignore_ascii_case("application/apply-patch+yaml") { Self::Apply } else { Self::Patch }
    }

    fn kind(self) -> &'static str {
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
    /// 422 with all errors of the options.
    pub fn read(cx: &RequestContext, kind: WriteKind) -> Result<Self, Status> {
        let text = |name| cx.query.get(name).unwrap_or_default();
        let (manager, validation) = (text("fieldManager"), text("fieldValidation"));
        let dry_run: Vec<&str> = cx.query.all("dryRun").collect();
        let mut faults = field::Errors::default();
        match kind {
            WriteKind::Apply if manager.is_empty() => {
                faults.push_with(|| field::Error::required("fieldManager", "is required for apply patch"));
            }
            WriteKind::Patch if cx.query.get("force").is_some() => {
                faults.push_with(|| field::Error::forbidden("force", "may not be specified for non-apply patch"));
            }
            _ => {}
        }
        faults.append(field_manager_errors(manager));
        faults.extend(dry_run_error(&dry_run));
        let known = parse_field_validation(validation);
        if known.is_none() {
            faults.push_with(|| {
                field::Error::unsupported("fieldValidation", validation, &["", "Ignore", "Strict", "Warn"])
            });
        }
        refuse(kind.kind(), &faults)?;
        Ok(Self {
            dry_run: if dry_run.is_empty() { DryRun::Off } else { DryRun::All },
            validation: known.unwrap_or_default(),
            field_manager: if manager.is_empty() { manager_from_user_agent(&cx.agent) } else { manager.to_owned() },
            conflicts: if cx.query.switch("force") { ConflictPolicy::Force } else { ConflictPolicy::Fail },
        })
    }

    /// The actor of a write with these options.
    pub fn actor(&self, cx: &RequestContext) -> Actor {
        Actor { dry_run: self.dry_run, field_manager: self.field_manager.clone(), ..cx.actor.clone() }
    }
}

/// 422 that names the kind of the options, if there are faults.
///
/// # Errors
/// That 422.
pub(crate) fn refuse(kind: &str, faults: &field::Errors) -> Result<(), Status> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(GroupResource { group: "meta.k8s.io", name: kind }, "", faults))
}

/// The fault of values of `dryRun` other than `All`.
pub(crate) fn dry_run_error(values: &[&str]) -> Option<field::Error> {
    if values.iter().all(|value| *value == "All") {
        return None;
    }
    let shown: Vec<String> = values.iter().map(|value| field::quote(value)).collect();
    let value = excerpt::of(format_args!("[{}]", shown.join(",")));
    let kind = field::ErrorKind::Unsupported { value, supported: vec!["All"] };
    Some(field::Error { field: "dryRun".into(), kind })
}

fn field_manager_errors(name: &str) -> field::Errors {
    const FIELD: &str = "fieldManager";
    let mut faults = field::Errors::default();
    if name.len() > MAX_FIELD_MANAGER_BYTES {
        faults.push_with(|| field::Error::too_long(FIELD, MAX_FIELD_MANAGER_BYTES));
    }
    let unprintable = name.char_indices().filter(|(_, letter)| !field::is_printable(*letter));
    faults.extend(unprintable.map(|(at, letter)| {
        let rule = format!("invalid character U+{:04X} (at position {at})", u32::from(letter));
        field::Error::invalid(FIELD, name, rule)
    }));
    faults
}

fn parse_field_validation(text: &str) -> Option<FieldValidation> {
    match text {
        "" | "Warn" => Some(FieldValidation::Warn),
        "Strict" => Some(FieldValidation::Strict),
        "Ignore" => Some(FieldValidation::Ignore),
        _ => None,
    }
}

/// The name of a program, as it stands at the beginning of its `User-Agent`.
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
    fn a_writer_is_named_by_its_program() {
        assert_eq!(manager_from_user_agent("kubectl/v1.34 (linux/amd64)"), "kubectl");
        assert_eq!(manager_from_user_agent("a\u{1}b"), "ab");
        assert_eq!(manager_from_user_agent(""), "");
        let long = "é".repeat(100);
        assert_eq!(manager_from_user_agent(&long), "é".repeat(64));
    }

    #[test]
    fn names_of_writers_are_short_and_can_be_printed() {
        let told = |name: &str| field::join(&field_manager_errors(name));
        assert_eq!(
            told("a\u{1}b"),
            "fieldManager: Invalid value: \"a\\x01b\": invalid character U+0001 (at position 1)"
        );
        assert_eq!(told(&"m".repeat(129)), "fieldManager: Too long: may not be more than 128 bytes");
        assert!(field_manager_errors("a name").is_empty() && field_manager_errors("").is_empty());
    }

    #[test]
    fn all_values_of_a_dry_run_are_told_if_one_is_wrong() {
        assert_eq!(dry_run_error(&["All", "All"]), None);
        let told = dry_run_error(&["All", "x"]).map(|fault| fault.to_string());
        assert_eq!(told.as_deref(), Some("dryRun: Unsupported value: [\"All\",\"x\"]: supported values: \"All\""));
    }
}
