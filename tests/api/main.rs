//! The API as its clients meet it: the real binary, over TLS. One module a resource, a part of Kubernetes REST, or a
//! promise of the process.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod audit;
mod check;
mod child;
mod discovery;
mod durability;
mod every_field;
mod fixtures;
mod harness;
mod health;
mod http2;
mod image_names;
mod images;
mod imagesignatures;
mod imagestreamimages;
mod imagestreammappings;
mod imagestreams;
mod imagestreams_aspects;
mod imagestreams_status;
mod imagestreamtags;
mod limits;
mod lists;
mod openapi;
mod options;
mod overload;
mod proof;
mod protobuf;
mod quickstart;
mod shutdown;
mod storage;
mod store;
mod tenants;
mod usage;
mod watches;
mod wire;
mod writing;
