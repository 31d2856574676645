//! Transfer of all objects from one endpoint to another: stores of any backend, and the API of a
//! cluster.
//!
//! Both endpoints are listed in the order of names, in pages, and compared on the way. An object
//! that the target lacks is stored; one that is equal there is skipped. A transfer that was killed
//! therefore goes on when it runs again. Objects that differ are conflicts unless the caller wants
//! them replaced. Afterwards both endpoints are listed and compared once more.
//!
//! A store keeps objects as they are, but for the resourceVersion. The layout of openshift-apiserver
//! has no internal fields, and an API sets some fields itself, see [`KeptForm`]. An endpoint of another kind implements [`TransferEndpoint`].

mod api_client;
mod api_endpoint;
mod api_list;
mod cursor;
mod endpoint;
mod form;
mod name;
mod report;
mod run;
mod store_endpoint;
mod verification;

pub use api_endpoint::ApiEndpoint;
pub use endpoint::{
    ListedObject, OverwritePolicy, TransferEndpoint, TransferError, TransferList, TransferPage,
};
pub use form::KeptForm;
pub use name::TransferName;
pub use report::{ReducedObjects, TransferReport, TransferVerification};
pub use run::{Transfer, TransferObserver, TransferPhase};
pub use store_endpoint::StoreEndpoint;

#[cfg(test)]
mod tests;
