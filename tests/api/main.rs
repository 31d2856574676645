//! The API over TLS, as clients see it. One module per resource, per part of the Kubernetes REST
//! API, and per guarantee of the server process.
//!
//! Most tests start a server inside the test process ([`harness::Api`]). Tests of signals, exit
//! codes, memory or a killed server start the binary ([`harness::ProcessApi`]).

#[expect(dead_code, unused_imports, reason = "other test binaries use the rest")]
#[path = "../support/registry/mod.rs"]
mod registry;
#[path = "../support/mod.rs"]
mod support;

mod access;
mod audit;
mod check;
mod child;
mod configz;
mod discovery;
mod durability;
mod every_field;
mod fixtures;
mod harness;
mod health;
mod history_limit;
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
mod import_warnings;
mod imports;
mod in_process;
mod limits;
mod lists;
mod openapi;
mod options;
mod overload;
mod profiling;
mod proof;
mod protobuf;
mod quickstart;
mod request_log;
mod settings;
mod shutdown;
mod standalone;
mod storage;
mod store;
mod tenants;
mod unreadable;
mod usage;
mod watches;
mod webhook_calls;
mod webhooks;
mod wire;
mod writing;
