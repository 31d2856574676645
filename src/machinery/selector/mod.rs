//! Label and field selectors.

mod field;
mod label;
mod requirement;

use self::field::FieldSelector;
use self::label::LabelSelector;
pub use self::requirement::Requirement;
use crate::machinery::query::Query;
use crate::meta::{ObjectMeta, Status, excerpt};

/// The selectors of a list request.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selector {
    /// Parses the selectors of a request. `more_fields` are the selectable fields of the kind
    /// besides name and namespace.
    ///
    /// # Errors
    /// 400 for a syntax error or an unknown field.
    pub fn parse(labels: &str, fields: &str, more_fields: &[&'static str]) -> Result<Self, Status> {
        let refuse = |reason: String| Status::bad_request(excerpt::of(reason));
        let labels = LabelSelector::parse(labels).map_err(refuse)?;
        let fields = FieldSelector::parse(fields, more_fields).map_err(refuse)?;
        Ok(Self { labels, fields })
    }

    /// Returns true if there is a field selector that does not require this name.
    pub fn contradicts_name(&self, name: &str) -> bool {
        !self.fields.is_empty() && self.exact_name() != Some(name)
    }

    /// The name that the field selector requires.
    pub fn exact_name(&self) -> Option<&str> {
        self.fields.exact(field::NAME)
    }

    /// The selector without the requirement for this name.
    pub fn without_name(mut self, name: &str) -> Self {
        self.fields.remove_exact(field::NAME, name);
        self
    }

    /// The selector without requirements for names.
    pub fn without_names(mut self) -> Self {
        self.fields.remove(field::NAME);
        self
    }

    /// The requirements for names only.
    pub fn only_names(self) -> Self {
        let mut fields = self.fields;
        fields.keep(field::NAME);
        Self { labels: LabelSelector::default(), fields }
    }

    /// Returns true if the requirements for names, and no others, match a name.
    pub fn selects_name(&self, name: &str) -> bool {
        self.fields.selects_value(field::NAME, name)
    }

    /// Returns true if the selector matches every object.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Returns true if the metadata of an object determines if the selector matches.
    pub fn is_about_metadata(&self) -> bool {
        self.fields.is_about(&[field::NAME, field::NAMESPACE])
    }

    /// Returns true if the selector matches an object. `field` returns the value of a selectable
    /// field other than name and namespace.
    pub fn selects(&self, meta: &ObjectMeta, field: impl Fn(&str) -> String) -> bool {
        self.labels.selects(&meta.labels)
            && self.fields.selects(|name| match name {
                field::NAME => meta.name.clone(),
                field::NAMESPACE => meta.namespace.clone(),
                other => field(other),
            })
    }
}

/// The field and label requirements of a request, for authorization. A selector with a syntax error
/// has none.
pub fn requirements(query: &Query) -> (Vec<Requirement>, Vec<Requirement>) {
    let fields = FieldSelector::parse_any(query.get("fieldSelector").unwrap_or_default())
        .unwrap_or_default();
    let labels =
        LabelSelector::parse(query.get("labelSelector").unwrap_or_default()).unwrap_or_default();
    (fields.requirements(), labels.requirements())
}

/// The name that the field selector of a request requires.
pub fn exact_name(query: &Query) -> Option<String> {
    let fields = FieldSelector::parse_any(query.get("fieldSelector")?).ok()?;
    fields.exact(field::NAME).map(str::to_owned)
}
