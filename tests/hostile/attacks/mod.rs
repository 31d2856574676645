//! Attacks that worked once.

mod connections;
mod errors;
mod fairness;
mod history;
mod images;
mod large;
mod memory;
mod patches;
mod proxy;
mod readers;
mod reviews;
mod shared;
mod small;

use crate::row::{Form, Table};

pub(crate) fn tables(form: Form) -> Vec<Table> {
    let mut tables = vec![
        patches::json_patches(form),
        patches::nulls(form),
        errors::metadata(form),
        errors::tags(form),
        errors::images(form),
        memory::table(form, 2),
        memory::table(form, 16),
        large::table(form, 2),
        large::table(form, 16),
        history::table(form),
        images::forgeries(),
        readers::layers(form),
        readers::parts(form),
        reviews::of_one_write(form),
        reviews::of_strangers(form),
    ];
    tables.extend(connections::tables(form));
    tables.extend(fairness::tables(form));
    tables.extend(shared::tables(form));
    tables.extend([proxy::table(form), small::table()]);
    tables
}
