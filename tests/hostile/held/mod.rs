//! Attacks that never worked.

mod credentials;
mod floods;

use crate::row::{Form, Table};

pub(crate) fn tables(form: Form) -> Vec<Table> {
    vec![credentials::table(), floods::table(form)]
}
