//! Which objects a list is about: by their labels and by some of their fields.

mod field;
mod label;

use self::field::FieldSelector;
use self::label::LabelSelector;
use crate::machinery::query::Query;
use crate::meta::{ObjectMeta, Status, excerpt};

/// One requirement of a selector, as SubjectAccessReviews carry it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The field or label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: &'static str,
    /// The values to compare with; none for the last two operators.
    pub values: Option<Vec<String>>,
}

/// The selectors of a list.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selector {
    /// Reads the selectors of a request. `more_fields` are fields that the kind knows besides name and namespace.
    ///
    /// # Errors
    /// 400 for selectors that cannot be read, or for unknown fields.
    pub fn parse(labels: &str, fields: &str, more_fields: &[&'static str]) -> Result<Self, Status> {
        let refuse = |reason: String| Status::bad_request(excerpt::of(reason));
        let labels = LabelSelector::parse(labels).map_err(refuse)?;
        let fields = FieldSelector::parse(fields, more_fields).map_err(refuse)?;
        Ok(Self { labels, fields })
    }

    /// Whether a selector that is about fields at all demands a name other than this, or none.
    pub fn contradicts_name(&self, name: &str) -> bool {
        !self.fields.is_empty() && self.exact_name() != Some(name)
    }

    /// The name that an object must have.
    pub fn exact_name(&self) -> Option<&str> {
        self.fields.exact(field::NAME)
    }

    /// What is demanded besides this name.
    pub fn without_name(mut self, name: &str) -> Self {
        self.fields.remove_exact(field::NAME, name);
        self
    }

    /// Whether every object is selected.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether the metadata of an object is enough to tell if it is selected.
    pub fn is_about_metadata(&self) -> bool {
        self.fields.is_about(&[field::NAME, field::NAMESPACE])
    }

    /// Whether an object is selected. `field` tells the fields that the kind knows besides name and namespace.
    pub fn selects(&self, meta: &ObjectMeta, field: impl Fn(&str) -> String) -> bool {
        self.labels.selects(&meta.labels)
            && self.fields.selects(|name| match name {
                field::NAME => meta.name.clone(),
                field::NAMESPACE => meta.namespace.clone(),
                other => field(other),
            })
    }
}

/// What the selectors of a request demand, in the words of authorization; nothing of a selector that cannot be read.
pub fn requirements(query: &Query) -> (Vec<Requirement>, Vec<Requirement>) {
    let fields = FieldSelector::parse_any(query.get("fieldSelector").unwrap_or_default()).unwrap_or_default();
    let labels = LabelSelector::parse(query.get("labelSelector").unwrap_or_default()).unwrap_or_default();
    (fields.requirements(), labels.requirements())
}

/// The name that the field selector of a request demands.
pub fn exact_name(query: &Query) -> Option<String> {
    let fields = FieldSelector::parse_any(query.get("fieldSelector")?).ok()?;
    fields.exact(field::NAME).map(str::to_owned)
}
