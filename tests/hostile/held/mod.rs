//! Attacks that never worked.

mod bombs;
mod credentials;
mod floods;
mod http1;
mod impersonation;
mod paths;
mod targets;
mod tokens;

use crate::row::{Form, Table};

pub(crate) fn tables(form: Form) -> Vec<Table> {
    let mut tables = vec![
        paths::table(),
        credentials::table(),
        tokens::table(),
        bombs::table(form),
        http1::table(form),
        floods::table(form),
    ];
    tables.extend(impersonation::tables());
    tables
}
