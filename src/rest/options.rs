//! The options of a request that changes something: dry run, field validation, who writes, whether conflicts count.

use super::codec::GroupVersion;
use super::cx::Cx;
use super::managed::{Conflicts, Manager};
use super::strict::FieldValidation;
use crate::meta::{Resource, Status, excerpt, field};

/// The longest name of a writer, in bytes.
pub(super) const MAX_MANAGER_BYTES: usize = 128;

/// What a request does, as far as its options depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Makes an object.
    Create,
    /// Replaces one.
    Update,
    /// Patches one.
    Patch,
    /// Patches one with all that a writer wants of it.
    Apply,
}

/// Whether anything is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DryRun {
    /// The request is carried out.
    #[default]
    Off,
    /// The request only asks what would happen.
    All,
}

/// The options of a request that changes something.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether anything is written.
    pub dry_run: DryRun,
    /// What is done about fields that are not known, or are there twice.
    pub validation: FieldValidation,
    /// Who writes, as managedFields name it.
    pub manager: String,
    /// What is done about fields of others; an apply asks that.
    pub conflicts: Conflicts,
}

impl Purpose {
    /// What a patch of this media type does.
    pub fn of_patch(content_type: &str) -> Self {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        if media.eq_ignore_ascii_case("application/apply-patch+yaml") { Self::Apply } else { Self::Patch }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Patch | Self::Apply => "PatchOptions",
        }
    }
}

impl Options {
    /// Who writes objects of an API, all of each.
    pub fn writer(&self, cx: &Cx, api: GroupVersion) -> Manager {
        let name = self.manager.clone();
        Manager { name, subresource: "", api_version: api.name, time: cx.now, ignored: &[] }
    }

    /// Reads the options of a request.
    ///
    /// # Errors
    /// 422 with everything that is wrong with them.
    pub fn read(cx: &Cx, purpose: Purpose) -> Result<Self, Status> {
        let text = |name| cx.query.get(name).unwrap_or_default();
        let (manager, validation) = (text("fieldManager"), text("fieldValidation"));
        let dry_run: Vec<&str> = cx.query.all("dryRun").collect();
        let mut faults = field::Errors::default();
        match purpose {
            Purpose::Apply if manager.is_empty() => {
                faults.push_with(|| field::Error::required("fieldManager", "is required for apply patch"));
            }
            Purpose::Patch if cx.query.get("force").is_some() => {
                faults.push_with(|| field::Error::forbidden("force", "may not be specified for non-apply patch"));
            }
            _ => {}
        }
        faults.append(manager_faults(manager));
        faults.extend(dry_run_fault(&dry_run));
        let known = known_validation(validation);
        if known.is_none() {
            faults.push_with(|| {
                field::Error::unsupported("fieldValidation", validation, &["", "Ignore", "Strict", "Warn"])
            });
        }
        refuse(purpose.kind(), &faults)?;
        Ok(Self {
            dry_run: if dry_run.is_empty() { DryRun::Off } else { DryRun::All },
            validation: known.unwrap_or_default(),
            manager: if manager.is_empty() { manager_of_agent(&cx.agent) } else { manager.to_owned() },
            conflicts: if cx.query.switch("force") { Conflicts::Force } else { Conflicts::Refuse },
        })
    }
}

/// 422 that names the kind of the options, if there are faults.
///
/// # Errors
/// That 422.
pub(super) fn refuse(kind: &str, faults: &field::Errors) -> Result<(), Status> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(Resource { group: "meta.k8s.io", name: kind }, "", faults))
}

/// The fault of values of `dryRun` other than `All`.
pub(super) fn dry_run_fault(values: &[&str]) -> Option<field::Error> {
    if values.iter().all(|value| *value == "All") {
        return None;
    }
    let shown: Vec<String> = values.iter().map(|value| field::quote(value)).collect();
    let value = excerpt::of(format_args!("[{}]", shown.join(",")));
    let fault = field::Fault::Unsupported { value, supported: vec!["All"] };
    Some(field::Error { field: "dryRun".into(), fault })
}

fn manager_faults(name: &str) -> field::Errors {
    const FIELD: &str = "fieldManager";
    let mut faults = field::Errors::default();
    if name.len() > MAX_MANAGER_BYTES {
        faults.push_with(|| field::Error::too_long(FIELD, MAX_MANAGER_BYTES));
    }
    let unprintable = name.char_indices().filter(|(_, letter)| !field::is_printable(*letter));
    faults.extend(unprintable.map(|(at, letter)| {
        let rule = format!("invalid character U+{:04X} (at position {at})", u32::from(letter));
        field::Error::invalid(FIELD, name, rule)
    }));
    faults
}

fn known_validation(text: &str) -> Option<FieldValidation> {
    match text {
        "" | "Warn" => Some(FieldValidation::Warn),
        "Strict" => Some(FieldValidation::Strict),
        "Ignore" => Some(FieldValidation::Ignore),
        _ => None,
    }
}

/// The name of a program, as it stands at the beginning of its `User-Agent`.
fn manager_of_agent(agent: &str) -> String {
    let program = agent.split('/').next().unwrap_or_default();
    let mut name = String::with_capacity(program.len().min(MAX_MANAGER_BYTES));
    for letter in program.chars().filter(|letter| field::is_printable(*letter)) {
        if name.len() + letter.len_utf8() > MAX_MANAGER_BYTES {
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
        assert_eq!(manager_of_agent("kubectl/v1.34 (linux/amd64)"), "kubectl");
        assert_eq!(manager_of_agent("a\u{1}b"), "ab");
        assert_eq!(manager_of_agent(""), "");
        let long = "é".repeat(100);
        assert_eq!(manager_of_agent(&long), "é".repeat(64));
    }

    #[test]
    fn names_of_writers_are_short_and_can_be_printed() {
        let told = |name: &str| field::join(&manager_faults(name));
        assert_eq!(
            told("a\u{1}b"),
            "fieldManager: Invalid value: \"a\\x01b\": invalid character U+0001 (at position 1)"
        );
        assert_eq!(told(&"m".repeat(129)), "fieldManager: Too long: may not be more than 128 bytes");
        assert!(manager_faults("a name").is_empty() && manager_faults("").is_empty());
    }

    #[test]
    fn all_values_of_a_dry_run_are_told_if_one_is_wrong() {
        assert_eq!(dry_run_fault(&["All", "All"]), None);
        let told = dry_run_fault(&["All", "x"]).map(|fault| fault.to_string());
        assert_eq!(told.as_deref(), Some("dryRun: Unsupported value: [\"All\",\"x\"]: supported values: \"All\""));
    }
}
