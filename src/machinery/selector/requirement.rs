//! A requirement of a selector in the form of a SubjectAccessReview.

/// One requirement of a selector, as in `fieldSelector` and `labelSelector` of a
/// SubjectAccessReview.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The field or label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: &'static str,
    /// The values of `In` and `NotIn`; none for the other operators.
    pub values: Option<Vec<String>>,
}
