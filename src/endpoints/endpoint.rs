//! Declaration of a resource: its names, kind, scope, verbs and handlers.
//!
//! The [`Builder`] accepts a verb only if the handler implements its trait. Verbs, routes,
//! discovery, OpenAPI, and 404 and 405 responses follow from the [`Endpoint`].

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::Method;
use schemars::SchemaGenerator;

use super::delete_options;
use super::list::{self, ListWriter};
use super::list_options;
use super::verb::Verb;
use super::watch::{self, EventEncoder};
use super::write_options::{WriteKind, WriteOptions};
use crate::endpoints::context::RequestContext;
use crate::endpoints::decode;
use crate::endpoints::negotiation::SupportedForms;
use crate::endpoints::response::ApiResponse;
use crate::endpoints::table::Columns;
use crate::machinery::group_version::GroupVersion;
use crate::machinery::patch::Patch;
use crate::machinery::schema::Schema;
use crate::machinery::updated_object::UpdatedObjectInfo;
use crate::machinery::value::Decoded;
use crate::meta::{Kind, Status};
use crate::registry::metadata;
use crate::registry::options::GetOptions;
use crate::registry::verbs::{Create, Delete, DeleteCollection, Get, List, Scope, Update, Watch};

type Handler = Arc<
    dyn Fn(Arc<RequestContext>) -> BoxFuture<'static, Result<ApiResponse, Status>> + Send + Sync,
>;

/// A resource or subresource.
pub struct Endpoint {
    /// Plural name.
    pub resource: &'static str,
    /// The subresource, such as `status`; none for the resource itself.
    pub subresource: Option<&'static str>,
    /// Singular name.
    pub singular: &'static str,
    /// Short names, such as `is`.
    pub short_names: &'static [&'static str],
    /// Categories, such as `all`.
    pub categories: &'static [&'static str],
    /// Kind of the objects.
    pub kind: &'static str,
    /// The scope of the objects.
    pub scope: Scope,
    /// True for stored objects, false for views of other objects.
    pub is_stored: bool,
    /// The forms in which objects can be returned.
    pub forms: SupportedForms,
    /// Adds the schema of the kind to a generator and returns a reference to it.
    pub schema: fn(&mut SchemaGenerator) -> schemars::Schema,
    verbs: Vec<ServedVerb>,
}

/// A verb of an endpoint.
struct ServedVerb {
    verb: Verb,
    publication: Publication,
    handler: Handler,
}

/// Selects whether discovery and OpenAPI name a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Publication {
    /// Both name it.
    Advertised,
    /// Neither names it.
    Unadvertised,
}

impl Endpoint {
    /// The advertised verbs, sorted by name: those of discovery and OpenAPI.
    pub fn verbs(&self) -> impl Iterator<Item = Verb> {
        let advertised =
            self.verbs.iter().filter(|served| served.publication == Publication::Advertised);
        advertised.map(|served| served.verb)
    }

    /// Returns true if the resource advertises the verb.
    pub fn has(&self, verb: Verb) -> bool {
        self.verbs().any(|each| each == verb)
    }

    /// Returns true if the resource serves the verb, advertised or not.
    pub fn serves(&self, verb: Verb) -> bool {
        self.verbs.iter().any(|served| served.verb == verb)
    }

    /// The handler for a method and a path of this resource.
    ///
    /// # Errors
    /// 404 if no method is served at the path, 405 if only other methods are.
    pub fn route(&self, method: &Method, scope: RequestScope) -> Result<&Handler, Status> {
        let on_collection = match scope {
            RequestScope::Changes { in_namespace }
                if !in_namespace || self.scope == Scope::Namespaced =>
            {
                return self.route_to_only(Verb::Watch, method);
            }
            RequestScope::Object { in_namespace }
                if in_namespace == (self.scope == Scope::Namespaced) =>
            {
                false
            }
            RequestScope::Collection { in_namespace }
                if in_namespace == (self.scope == Scope::Namespaced) =>
            {
                true
            }
            // Without a namespace, namespaced objects can only be listed.
            RequestScope::Collection { in_namespace: false } => {
                return self.route_to_only(Verb::List, method);
            }
            _ => return Err(Status::no_such_path()),
        };
        let mut handlers = self
            .verbs
            .iter()
            .filter(|served| served.verb.is_on_collection() == on_collection)
            .peekable();
        if handlers.peek().is_none() {
            return Err(Status::no_such_path());
        }
        handlers
            .find(|served| served.verb != Verb::Watch && served.verb.method() == *method)
            .map(|served| &served.handler)
            .ok_or_else(Status::method_not_allowed)
    }

    /// The handler of a path that serves one verb only.
    fn route_to_only(&self, verb: Verb, method: &Method) -> Result<&Handler, Status> {
        let served = self.verbs.iter().find(|served| served.verb == verb);
        let served = served.ok_or_else(Status::no_such_path)?;
        match *method == verb.method() {
            true => Ok(&served.handler),
            false => Err(Status::method_not_allowed()),
        }
    }
}

/// The kind of a path within its resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestScope {
    /// The path of one object.
    Object {
        /// True if the path names a namespace.
        in_namespace: bool,
    },
    /// The path of a collection.
    Collection {
        /// True if the path names a namespace.
        in_namespace: bool,
    },
    /// The path of a watch of an object or a collection.
    Changes {
        /// True if the path names a namespace.
        in_namespace: bool,
    },
}

/// Builds an [`Endpoint`] for objects of type `T`.
pub struct Builder<T: 'static> {
    endpoint: Endpoint,
    api: GroupVersion,
    schema: Arc<Schema>,
    columns: Option<&'static Columns<T>>,
}

impl<T: Kind> Builder<T> {
    /// A resource of an API version, without verbs.
    pub fn new(api: GroupVersion, resource: &'static str, scope: Scope) -> Self {
        let endpoint = Endpoint {
            resource,
            subresource: None,
            singular: "",
            short_names: &[],
            categories: &[],
            kind: T::KIND,
            scope,
            is_stored: false,
            forms: SupportedForms::ObjectOnly,
            schema: SchemaGenerator::subschema_for::<T>,
            verbs: Vec::new(),
        };
        Self { endpoint, api, schema: Arc::new(Schema::of::<T>()), columns: None }
    }

    /// Sets the singular name and short names.
    pub fn names(mut self, singular: &'static str, short: &'static [&'static str]) -> Self {
        self.endpoint.singular = singular;
        self.endpoint.short_names = short;
        self
    }

    /// Sets the categories, such as `all`.
    pub fn categories(mut self, categories: &'static [&'static str]) -> Self {
        self.endpoint.categories = categories;
        self
    }

    /// Makes this a subresource.
    pub fn subresource(mut self, name: &'static str) -> Self {
        self.endpoint.subresource = Some(name);
        self
    }

    /// Marks the objects as stored.
    pub fn stored(mut self) -> Self {
        self.endpoint.is_stored = true;
        self
    }

    /// Allows `PartialObjectMetadata`.
    pub fn metadata(mut self) -> Self {
        self.endpoint.forms = SupportedForms::Metadata;
        self
    }

    /// Allows tables with these columns, and `PartialObjectMetadata`.
    pub fn columns(mut self, columns: &'static Columns<T>) -> Self {
        self.columns = Some(columns);
        self.endpoint.forms = SupportedForms::Tabular;
        self
    }

    /// Serves GET of one object.
    pub fn get<H: Get<T>>(self, handler: &Arc<H>) -> Self {
        let (handler, api, columns) = (handler.clone(), self.api, self.columns);
        self.verb(Verb::Get, move |cx| {
            let handler = handler.clone();
            Box::pin(async move {
                let options = GetOptions::read(&cx.query);
                ApiResponse::object(
                    &cx,
                    api,
                    200,
                    handler.get(&cx.actor, &cx.at, &options).await?,
                    columns,
                )
            })
        })
    }

    /// Serves GET of collections.
    pub fn list<H: List<T>>(self, handler: &Arc<H>) -> Self {
        let (handler, api, columns, scope) =
            (handler.clone(), self.api, self.columns, self.endpoint.scope);
        self.verb(Verb::List, move |cx| {
            let handler = handler.clone();
            Box::pin(async move {
                let options = list_options::read(&cx)?;
                let listing = handler.list(&cx.actor, &cx.at, scope, &options)?;
                list::respond(listing, &cx, api, columns).await
            })
        })
    }

    /// Serves watches.
    pub fn watch<H: Watch<T>>(self, handler: &Arc<H>) -> Self {
        self.published_watch(handler, Publication::Advertised)
    }

    /// Serves watches by the parameter `watch`, which neither discovery nor OpenAPI names.
    pub fn unadvertised_watch<H: Watch<T>>(self, handler: &Arc<H>) -> Self {
        self.published_watch(handler, Publication::Unadvertised)
    }

    fn published_watch<H: Watch<T>>(mut self, handler: &Arc<H>, publication: Publication) -> Self {
        let (handler, api, columns, scope) =
            (handler.clone(), self.api, self.columns, self.endpoint.scope);
        let handler: Handler = Arc::new(move |cx| {
            let handler = handler.clone();
            Box::pin(async move {
                let encoder = EventEncoder::new(&cx, api, columns)?;
                let options = list_options::read(&cx)?;
                let changes = handler.watch(&cx.actor, &cx.at, scope, &options).await?;
                Ok(watch::respond(changes, encoder))
            })
        });
        self.endpoint.verbs.push(ServedVerb { verb: Verb::Watch, publication, handler });
        self
    }

    /// Serves POST.
    pub fn create<H: Create<T>>(self, handler: &Arc<H>) -> Self {
        let (handler, api, columns, schema) =
            (handler.clone(), self.api, self.columns, self.schema.clone());
        self.verb(Verb::Create, move |cx| {
            let (handler, schema) = (handler.clone(), schema.clone());
            Box::pin(async move {
                let options = WriteOptions::read(&cx, WriteKind::Create)?;
                let Decoded { object, warnings } =
                    decode::object::<T>(&cx, api, &schema, options.validation)?;
                let actor = options.actor(&cx);
                let created = async {
                    metadata::check_namespace(&cx.at, object.metadata())?;
                    handler.create(&actor, &cx.at, object).await
                };
                match created.await {
                    Ok(written) => {
                        ApiResponse::written(&cx, api, written.warning(warnings), columns)
                    }
                    Err(status) => Err(Status { warnings, ..status }),
                }
            })
        })
    }

    /// Serves PUT and PATCH, server-side apply included.
    pub fn update<H: Update<T>>(self, handler: &Arc<H>) -> Self {
        let (api, columns, schema) = (self.api, self.columns, self.schema.clone());
        let (put, patch) = (handler.clone(), handler.clone());
        let schema_of_put = schema.clone();
        let with_put = self.verb(Verb::Update, move |cx| {
            let (handler, schema) = (put.clone(), schema_of_put.clone());
            Box::pin(async move {
                let options = WriteOptions::read(&cx, WriteKind::Update)?;
                let object = decode::object(&cx, api, &schema, options.validation)?;
                let update = UpdatedObjectInfo::from_object(object, &schema, api);
                let written = handler.update(&options.actor(&cx), &cx.at, &update).await;
                let failed = |status| Status { warnings: update.warnings().to_vec(), ..status };
                ApiResponse::written(&cx, api, written.map_err(failed)?, columns)
            })
        });
        with_put.verb(Verb::Patch, move |cx| {
            let (handler, schema) = (patch.clone(), schema.clone());
            Box::pin(async move {
                let content_type = cx.content_type.as_deref().unwrap_or_default();
                let options = WriteOptions::read(&cx, WriteKind::of_patch(content_type))?;
                let patch = Patch::read(content_type, &cx.body)?;
                let update = UpdatedObjectInfo::from_patch(
                    patch,
                    options.validation,
                    options.conflicts,
                    &schema,
                    api,
                );
                let written = handler.update(&options.actor(&cx), &cx.at, &update).await?;
                ApiResponse::written(&cx, api, written, columns)
            })
        })
    }

    /// Serves DELETE of one object.
    pub fn delete<H: Delete<T>>(self, handler: &Arc<H>) -> Self {
        let (handler, api, columns) = (handler.clone(), self.api, self.columns);
        self.verb(Verb::Delete, move |cx| {
            let handler = handler.clone();
            Box::pin(async move {
                let options = delete_options::read(&cx)?;
                let actor = delete_options::actor(&cx, &options);
                ApiResponse::written(
                    &cx,
                    api,
                    handler.delete(&actor, &cx.at, &options).await?,
                    columns,
                )
            })
        })
    }

    /// Serves DELETE of collections.
    pub fn delete_collection<H: DeleteCollection<T>>(self, handler: &Arc<H>) -> Self {
        let (handler, api, columns, scope) =
            (handler.clone(), self.api, self.columns, self.endpoint.scope);
        self.verb(Verb::DeleteCollection, move |cx| {
            let handler = handler.clone();
            Box::pin(async move {
                // Fails before the first deletion if the response cannot be encoded.
                ListWriter::<T>::new(&cx, api, columns)?;
                let delete = delete_options::read_for_collection(&cx)?;
                let options = list_options::read(&cx)?;
                let actor = delete_options::actor(&cx, &delete);
                let deleted =
                    handler.delete_collection(&actor, &cx.at, scope, &delete, &options).await?;
                list::respond(deleted, &cx, api, columns).await
            })
        })
    }

    /// Completes the endpoint.
    pub fn build(mut self) -> Endpoint {
        self.endpoint.verbs.sort_by_key(|served| served.verb);
        self.endpoint
    }

    fn verb(
        mut self,
        verb: Verb,
        handler: impl Fn(Arc<RequestContext>) -> BoxFuture<'static, Result<ApiResponse, Status>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let (publication, handler) = (Publication::Advertised, Arc::new(handler));
        self.endpoint.verbs.push(ServedVerb { verb, publication, handler });
        self
    }
}
