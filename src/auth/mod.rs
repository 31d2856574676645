//! Who are you, may you.
/// A user as authentication found it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Name of the user.
    pub name: String,
    /// Identifier of the user, where the source has one.
    pub uid: String,
    /// Groups of the user.
    pub groups: Vec<String>,
}
