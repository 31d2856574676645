//! Lists: the objects that a request selects, read in pages at one revision and encoded while they
//! are read.
//!
//! An [`ObjectStream`](object_stream::ObjectStream) yields the objects of a
//! [`ListPage`](object_stream::ListPage). Large lists therefore take little memory, however many
//! objects they have.

pub mod entries;
pub mod object_stream;
pub mod stored_objects;
pub mod stored_parts;
