//! The versions of OpenAPI that are served.

/// A version of OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenApiVersion {
    /// 2.0, also called Swagger.
    V2,
    /// 3.0.
    V3,
}
