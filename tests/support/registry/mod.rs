//! A registry inside the test process that answers as a test says: honestly ([`content`]), or with
//! lies, endless bodies and redirects. It records the requests.

pub(crate) mod certificates;
pub(crate) mod content;
pub(crate) mod server;

pub(crate) use certificates::{Authority, ServerCertificate};
pub(crate) use content::{Content, Image, answer, json_error};
pub(crate) use server::{Answer, ReceivedRequest, RegistryServer};
