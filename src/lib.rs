//! An aggregated Kubernetes API server for `image.openshift.io/v1`.
//!
//! This page describes the architecture for readers of the code: the layers, the path of three
//! requests, and how to extend the server. Manuals for users and operators start at `README.md`.
//!
//! # Layers
//!
//! A module uses only modules of lower layers. `tests/floors.rs` checks this.
//!
//! ```text
//! kube-apiserver, clients                                operators
//!           │ HTTPS                                          │
//! ┌─────────┼────────────────────────────────────────────────▼───────────┐
//! │ cli     │                                      commands and flags    │
//! ├─────────▼────────────────────────────────────────────────────────────┤
//! │ server      listener, filters, router, health                        │
//! ├──────────────────────────────────────────────────────────────────────┤
//! │ controllers supervised background work: imports, compaction, usage,  │
//! │             quotas, registration, certificates                       │
//! ├──────────────────────────────────────────────────────────────────────┤
//! │ resources   one file for each API resource: storage, Kubernetes      │
//! │             rules and image logic meet here and nowhere else         │
//! ├──────────────────────────────────────────────────────────────────────┤
//! │ endpoints   HTTP: request info, negotiation, bodies, verbs,          │
//! │             encoders, discovery, OpenAPI                             │
//! ├──────────────────────────────────────────────────────────────────────┤
//! │ registry    storage of any type: create, update, delete, list,       │
//! │             watch, admission, quota                                  │
//! ├──────────────────────────────────────────────────────────────────────┤
//! │ oci         client for OCI registries: transport, credentials,       │
//! │             limits, manifests                                        │
//! ├──────────────────────┬───────────────────────┬───────────────────────┤
//! │ domain               │ auth                  │ tls                   │
//! │   image logic,       │   authentication,     │   certificates,       │
//! │   no I/O             │   authorization       │   handshakes          │
//! ├──────────────────────┴───────────────────────┴───────────────────────┤
//! │ machinery   JSON, YAML, protobuf, schemas, patches, managed fields,  │
//! │             selectors: pure, no async                                │
//! ├───────────────────────────┬──────────────────────────────────────────┤
//! │ api                       │ cluster                                  │
//! │   types of the group      │   client of the control plane            │
//! ├───────────────────────────┴──────────────────────────────────────────┤
//! │ runtime     building blocks of asynchronous work, such as back-off   │
//! ├───────────────────────────┬──────────────────────┬───────────────────┤
//! │ meta                      │ store                │ telemetry         │
//! │   object metadata, Status │   revisioned bytes   │   logs, metrics   │
//! └───────────────────────────┴──────────────────────┴───────────────────┘
//! ```
//!
//! * [`store`] knows bytes and revisions, not Kubernetes. Its contract is on the trait
//!   [`store::Store`], the subset of etcd that Kubernetes relies on.
//! * [`registry`] knows Kubernetes objects, not HTTP. Its client is an [`registry::actor::Actor`]:
//!   the user behind a request, or a part of this process.
//! * [`oci`] knows registries, not Kubernetes. It trusts no response: sizes and times are bounded,
//!   digests verified, addresses checked, and credentials stay where they belong.
//! * [`endpoints`] knows HTTP, not images. A resource is a value, an
//!   [`endpoints::endpoint::Endpoint`]: routes, verbs, discovery, OpenAPI, and 404 and 405
//!   responses follow from it.
//! * [`controllers`] keep subjects such as certificates current. A [`controllers::Supervisor`]
//!   restarts them, and runs those of shared state on one replica only.
//! * [`domain`] is pure: clocks, randomness and stored objects are arguments.
//! * [`auth`] proves identity by types: `X-Remote-*` headers are readable only through a verified
//!   front-proxy certificate ([`auth::FrontProxy`]).
//! * [`meta::Status`] is the only error that leaves the server. 5xx responses hide the cause and
//!   log it once.
//!
//! # A GET
//!
//! `GET …/namespaces/NS/imagestreamimages/STREAM@DIGEST`, the request that the server is built
//! for. Everything that can be computed when an image is written is computed then.
//!
//! 1. [`server::listen::serve`] accepts the connection, within limits for each source address. The
//!    TLS handshake requests a client certificate and proves possession of its key, no more.
//!    [`server::listen::Peer`] carries the certificate along with each request. Whether a trusted CA
//!    signed it selects the limits of the connection ([`server::listen::ClientLimits`]).
//! 2. `FilterChain::serve` in `server/filters/mod.rs` lists the filters of each request, one file
//!    each. It reads method, path and query once, into the [`endpoints::request_info::RequestInfo`]
//!    that all others use: authorization, routing, audit and metrics. Then it assigns the audit ID,
//!    begins the audit entry, checks URL and `Host` (`well_formed`), and sets the `deadline`.
//! 3. The filter `authentication` verifies front proxy, client certificate or token
//!    ([`auth::Authenticator`]), `impersonation` replaces the user if the client asks for it, and
//!    all credentials are removed from the request. The user, or the source address without one,
//!    is the [`runtime::Flow`] of the request ([`auth::FlowClassifier`]), which shares all limits
//!    with others ([`runtime::FairLimiter`]).
//! 4. `authorization` decides. If no decision is cached, it sends a SubjectAccessReview; equal
//!    reviews are sent once ([`auth::AccessReviews`]). Then `in_flight` admits the request, lets it
//!    wait for other requests of the user, or refuses it with 429.
//! 5. `Router::handle` in `server/router.rs` builds the [`endpoints::serve::Request`] (other paths,
//!    such as discovery, are served by axum). [`endpoints::serve::Api::serve`] finds the endpoint
//!    and the verb, negotiates the representation ([`endpoints::negotiation`]), and calls the
//!    handler with a [`endpoints::context::RequestContext`].
//! 6. The handler, `StreamImageHandler` in `resources/imagestreamimages.rs`, gets the digests of
//!    the stream from [`resources::Catalog::stream_view`]: a sorted index in memory, read again
//!    when the stream's revision changes. [`domain::stream_index::StreamIndex::matches`] is a
//!    binary search. For a prefix or an unknown digest, the handler also searches the children of
//!    manifest lists ([`resources::Catalog::image_closure`]), which concurrent requests collect
//!    once.
//! 7. [`resources::Catalog::image_view`] reads the row beside the image that holds its prepared,
//!    compressed JSON (`PackedView` in `resources/packed_view.rs`), from memory if its revision is
//!    current. While nothing is committed, the store is not called at all
//!    ([`store::Store::latest`]). An
//!    image that the stream has without proof is shown as its own mapping described it
//!    ([`domain::unproved`]).
//! 8. The handler joins the stream's part and the image's part.
//!    [`endpoints::response::ApiResponse`] compresses or converts the body if the client asks for
//!    it, and `reply` in `server/respond.rs` turns it into an HTTP response.
//! 9. A response that can block on a slow reader keeps its place among the requests in flight until
//!    it is sent (`account` in `server/filters/accounted_body.rs`). Back in `FilterChain::serve`,
//!    the request is logged, common headers are added, and metrics and the audit event are
//!    completed.
//!
//! # A push
//!
//! `POST …/namespaces/NS/imagestreammappings`, sent by a registry after it has stored the layers.
//!
//! 1. Steps 1 to 4 of the GET, except that `in_flight` admits the request after step 2. The
//!    deadline of a write is 34 seconds at most.
//! 2. `read` in `server/request_body.rs` reads the body, within its part of the
//!    [`runtime::MemoryBudget`] and [`endpoints::decode::MAX_BODY_BYTES`]. It must arrive at a
//!    minimum rate.
//! 3. [`endpoints::serve::Api::serve`] as above. The [`registry::workload::Workload`] of the request
//!    reserves the memory that the body decodes to ([`machinery::body_cost`]), and that of stored
//!    objects before they are decoded. A request with a large body, or one that meets a large
//!    stored object, is polled in slots of a [`registry::pool::Pool`] from then on, as blocking, so
//!    that it delays no other request. The create handler of
//!    [`endpoints::endpoint::Builder::create`] reads the options, decodes JSON, YAML or protobuf
//!    ([`endpoints::decode`]) with field validation ([`machinery::field_validation`]), and passes
//!    the options on in the [`registry::actor::Actor`]. From here on the code knows no HTTP.
//! 4. The handler, `Mappings` in `resources/imagestreammappings.rs`, passes the mapping to the
//!    admission chain, completes and validates it ([`domain::mapping`], [`domain::validate`]), and
//!    determines its evidence for the image ([`domain::proof::evidence_of`]). A manifest must match
//!    the digest that names the image.
//! 5. [`registry::guaranteed_update::Storage::guaranteed_update`] is the one update loop of all
//!    writes, as `GuaranteedUpdate` in Kubernetes: read the stream and the image, compute the new
//!    state, run the admission chain ([`registry::admission::chain::AdmissionChain`]), and commit
//!    all rows, guarded by the revisions of all entries that were read. If another writer changed
//!    one of them, the loop runs again with the current values, admission included. Over etcd the
//!    entries come from memory and may be outdated: the guards or, before an error, a read detect
//!    that ([`registry::read_set::ReadSet`]). The new state of the stream has a tag event
//!    ([`domain::mapping::push`], [`domain::tag_history`]). The image is stored if it is new or
//!    better proved ([`domain::proof::superseding`]). A push that proves nothing about an existing
//!    image leaves the loop to check the rights of the user (`PushRights` in
//!    `resources/push_rights.rs`), then enters it again.
//! 6. [`registry::object_store::ObjectStore::change`] makes the rows of an object: its JSON, and
//!    the derived rows of its [`registry::strategy::Strategy`] (the prepared view, the children
//!    of a manifest list). All rows of a push are in one transaction.
//! 7. [`registry::history_limit::HistoryLimiter`] admits the bytes of the transaction, which is
//!    charged to the namespace. [`store::Store::commit`] queues it. One writer thread (`Writer` in
//!    `store/embedded/writer.rs`) commits all waiting transactions as a group and syncs the file.
//!    Only then the commit is acknowledged, visible to readers, and delivered to watches.
//! 8. The response is a `Status` with code 201.
//!
//! POST, PUT, patches, apply, tags and signatures go through
//! [`registry::object_store::ObjectStore::write`] to the same loop: each is a pure function from
//! the current object to the desired one ([`machinery::updated_object`], [`domain::tag_edit`]).
//! So do deletes, `store import` and the sample data, with an actor of the process.
//!
//! # An import
//!
//! `POST …/namespaces/NS/imagestreamimports`, sent by `oc import-image`.
//!
//! 1. Steps 1 to 3 of a push. The deadline is that of the parameter `timeout`, up to an hour.
//! 2. The handler, `Imports` in `resources/imagestreamimports.rs`, passes the request to the
//!    admission chain, validates it, and checks the registries
//!    ([`domain::allowed_registries`]).
//! 3. [`resources::ImageImporter`] takes a place for the import, reads the credentials of the
//!    namespace, and plans the requests ([`domain::import::ImportPlan`]). `Fetcher` in
//!    `resources/import/fetch.rs` sends them through an [`oci::PullSession`], 16 at once, and turns
//!    manifests into images ([`domain::import::image_of`]). It never touches the store.
//! 4. `ImportRecorder` in `resources/import/recorder.rs` enters the update loop of a push through
//!    [`registry::object_store::ObjectStore::write_jointly`]. [`domain::import::settle()`] adds the
//!    results to the current stream: events, conditions and spec tags. The images are its companions
//!    ([`registry::companions`]): new and better proved ones are written in the same transaction. So
//!    is the row with the sources of scheduled tags ([`domain::import::ImportSources`]). After a
//!    conflict all are computed again from the same results.
//! 5. The response has the code 201 and a status for each image.
//!
//! # An import by the server
//!
//! A spec tag of kind `DockerImage`, set by `oc tag` or `kubectl apply`.
//!
//! 1. [`controllers::image_import::ImageImportController`] runs on one replica. It follows all
//!    streams ([`registry::follower::Follower`]), and keeps in memory only the targets that need an
//!    import now or later ([`domain::import::needed_imports()`]): new tags, scheduled tags, failed
//!    ones. `ImportQueue` in `controllers/image_import/import_queue.rs` knows the time of the next
//!    attempt of each ([`domain::import::RetryPolicy`]).
//! 2. Targets of a stream in the same registry are imported together. `ReadyQueue` in
//!    `controllers/image_import/ready_queue.rs` gives slots to registries and namespaces in turns.
//!    Registries that have not responded share a part of them, so that those that hang delay nobody
//!    else.
//! 3. [`resources::import::StreamImporter`] reads the stream again. A scheduled tag costs one HEAD
//!    request: if the digest is that of the last import, nothing is written. All others are fetched
//!    and recorded as in the import of a request, by the same code. Results for tags that changed
//!    meanwhile are dropped.
//! 4. A failure becomes the condition of the tag, once: a later one that says the same writes
//!    nothing. Attempts and the time of the next one are in the log, in metrics, and in Events
//!    ([`controllers::import_events`]).
//! 5. The queue is not stored. After a start it is built from the streams: conditions tell which
//!    tags failed, and overdue attempts are spread over an interval.
//!
//! # A watch
//!
//! `GET …/imagestreams?watch=true`, sent by informers.
//!
//! 1. Steps 1 to 5 of the GET. [`registry::watch::ObjectWatch`] starts at a resourceVersion, at the
//!    latest revision, or with the current objects as ADDED events.
//! 2. One [`registry::watch::WatchCache`] for each resource watches the store while any client
//!    watches. It keeps the last 16 MiB of changes in memory.
//! 3. Each client has a position in these changes, `WatchCursor` in `registry/watch/cursor.rs`, not
//!    a queue. A client that falls behind reads the log of the store until it has caught up. If the
//!    log was compacted there, it gets an ERROR event with code 410.
//! 4. A change is decoded once, and encoded once for each representation, for all clients
//!    (`CachedEvent` in `registry/watch/cached_event.rs`). Selectors turn it into ADDED, MODIFIED
//!    or DELETED for a client. A watch of tags reads the changes of streams, and shows the tags that
//!    differ (`Projection` in `registry/watch/projection.rs`, `resources/tag_watch.rs`).
//! 5. The events are the body of the response (`WatchStream` in `endpoints/watch/stream.rs`).
//!    `observe` in `server/filters/long_running.rs` records the watch until it ends, and `hold`
//!    ends it between two events when the server drains.
//!
//! # Further decisions
//!
//! * **Lists** ([`registry::list`], [`endpoints::list`]) are streamed in bounded pages, all at the
//!   revision of the first. Errors before the first byte are a `Status`. A later error breaks the
//!   connection, because a truncated list must not look complete. Nothing is held in the store
//!   between two pages, so a list that takes longer than `--compaction-retention` is aborted. For a
//!   limited list the server finds the last key first, because `metadata.continue` is sent before
//!   `items`; with a selector it reads the objects up to that key twice. So does a list in
//!   protobuf, because its length is sent first. It therefore takes all fields of an image but the
//!   metadata from the stored JSON (`StoredParts` in `registry/list/stored_parts.rs`), and decodes
//!   no image.
//! * **Memory** that grows with requests is charged to the user, to one budget
//!   ([`runtime::MemoryBudget`]), before it is allocated. A request that waits for memory holds
//!   little: it drops what it has read and reads it again. A response keeps its share until its
//!   last byte is sent, because the share belongs to the bytes. A watch or list that has begun is
//!   not refused; it lags. Readers of the tags of a large stream share one decoded copy
//!   (`SharedStreams` in `resources/shared_streams.rs`).
//! * **Protobuf** ([`machinery::protobuf`]) is translated from and to JSON in one pass, so each
//!   rule exists once. Tables ([`meta::protobuf`], [`api::protobuf`]) give each field its number; a
//!   test compares them with the Rust types.
//! * **OpenAPI** ([`endpoints::openapi`]) is generated from the endpoints and types before the
//!   build. The server sends the bytes of the files in `openapi/`.
//! * **Merge keys and list types** for patches and apply come from the Rust types
//!   ([`machinery::schema`]); [`machinery::managed_fields`] tracks field ownership.
//! * **Trust** in certificates is evaluated for each request with the current CAs and cached for
//!   the connection ([`auth::PeerCertificates`]). The server follows the ConfigMap with the CAs
//!   and keeps the last valid ones ([`auth::TrustSource`]).
//! * **History** is shared by namespaces. A transaction is charged to the account of its namespace
//!   ([`store::Charge`]). The store counts the bytes of each account, with replaced values until
//!   they are compacted, and refuses what exceeds the amount ([`store::Accounting`]). The rate is
//!   limited above the store ([`registry::history_limit::HistoryLimiter`]), as that needs no
//!   ability of a backend. On a nearly full volume, compaction starts early
//!   ([`controllers::compaction`]).
//! * **Rules of the cluster** ([`cluster::ClusterRules`]) are webhooks, LimitRanges and quotas. A
//!   reflector keeps each kind in memory; while one is unknown, the writes that it may concern wait
//!   for a short time. A quota is charged in the cluster before the commit
//!   ([`registry::admission::quota`]); the limits of streams are part of their validation
//!   ([`resources::limit_ranges`]).
//! * **Registries** get requests at a pace that all imports of the process share
//!   (`RegistryLimiter` in `oci/registry_limiter.rs`): a few at once and a rate, both reduced by
//!   refusals and failures. Namespaces take turns. A request waits for its registry before it holds
//!   anything that other registries need; memory of a large body is reserved when it arrives
//!   (`BodyMemory` in `oci/body_memory.rs`). Tokens and the response to the first request are
//!   remembered, by everything that they depend on.
//! * **Events and secrets** ([`cluster::EventRecorder`], [`cluster::SecretWatch`]) are optional
//!   connections of imports to the control plane. Recording never waits. Only the metadata of
//!   secrets is watched.
//! * **The embedded store** ([`store::embedded`]) keeps a log of revisions in redb. Each row has a
//!   checksum that is verified on read. The first revision of a new folder comes from the clock,
//!   so that a lost folder never leads to a revision that clients have seen.
//! * **Damage** costs one object. A value with a wrong checksum fails its own reads; lists name it
//!   ([`registry::list::entries`]). It can be deleted or replaced ([`registry::unreadable`]), and a
//!   proved push heals it. Derived rows are made again from their image (`derived_rows` in
//!   `resources`). Indexes are verified when the store is opened.
//!
//! # How to add a resource
//!
//! 1. Define its type in [`api`]. Field order is the order on the wire; doc comments are the
//!    descriptions of `kubectl explain`. Register the protobuf field numbers in [`api::protobuf`];
//!    a test compares them with the type.
//! 2. Add a file to [`resources`] with a function `endpoint` that returns a
//!    [`endpoints::endpoint::Endpoint`]. Implement the traits of [`registry::verbs`] for the verbs
//!    that it serves ([`registry::verbs::Get`], [`registry::verbs::List`],
//!    [`registry::verbs::Create`], …).
//!    * A stored type gets them from [`registry::object_store::ObjectStore`]: implement
//!      [`registry::strategy::UpdateStrategy`] and [`registry::strategy::Strategy`] (defaults,
//!      validation, computed fields, derived rows). See `ImageStrategy` in
//!      `resources/strategies.rs`.
//!    * A virtual resource is a function over stored objects. See `Mappings` in
//!      `resources/imagestreammappings.rs`.
//! 3. Add the endpoint to [`resources::all`] and the kind to [`resources::API`].
//! 4. Put image logic into [`domain`], with unit tests.
//! 5. Run `cargo run -- openapi openapi`, and add API tests in `tests/api`. If the reference
//!    serves the resource, add recorded conversations.
//! 6. Give users rights in `manifests/base/rbac-users.yaml`.
//!
//! # How to add a store
//!
//! 1. Implement [`store::Store`] and [`store::Watch`] in a module beside [`store::embedded`]. The
//!    contract is in the documentation of the trait.
//! 2. Implement `Lab` of `tests/store/harness.rs` as `tests/store/embedded_lab.rs` does, and add
//!    two lines to `tests/store.rs`, or to a test target of its own if it needs other programs, as
//!    `tests/etcd_store.rs`: the contract suite and the model test run against it.
//! 3. Add a variant to [`store::Backend`], whose variants are the values of `--storage-backend`,
//!    and open it in `store/open.rs`, the only file that names backends. Each backend has a
//!    [`store::StoreHealth`] and a [`store::Elector`].
//! 4. Implement the abilities that it has: [`store::Compact`], [`store::Accounting`],
//!    [`store::Backup`], [`store::Scan`], [`store::DiskUsage`], [`store::Maintenance`]. The server
//!    leaves out the background work of missing ones.
//! 5. Run the API tests with it.
//! 6. Make it a place of the command `transfer`: `TransferPlace` in `cli/transfer/place.rs`. A place
//!    that is no [`store::Store`] implements [`resources::transfer::TransferEndpoint`].
//!
//! # How to add a controller
//!
//! A controller is background work on one subject, such as a periodic import.
//!
//! 1. Add a file to [`controllers`] with a type that implements [`controllers::Controller`]. `run`
//!    works until it is dropped, logs failures, and retries. The supervisor restarts it with
//!    growing delays if it returns or panics, and counts that in
//!    `imagestream_apiserver_controller_restarts_total`.
//! 2. If only one replica may do the work, return [`controllers::Leadership::Elected`] with the
//!    [`store::Elector`] of the store, as `CompactionController` in `controllers/compaction.rs`.
//! 3. Read and write objects through a [`resources::Client`], whose writes take the path of a push.
//!    Other inputs come from other layers: `RegistrationController` in
//!    `controllers/registration.rs` gets a client of the control plane.
//! 4. Add it to the list in [`controllers::all`], and its inputs to [`controllers::Subjects`]. If the
//!    server works without it, give it a [`controllers::ControllerName`] for `--controllers`.
//!    Flags are a clap `Options` beside the controller, flattened into [`server::Options`].
//!
//! # How to add an admission step
//!
//! 1. Add a file to `registry/admission` with a type that implements
//!    [`registry::admission::plugin::AdmissionPlugin`]: `handles` selects the phases, operations and
//!    resources, `mutate` runs before the strategy validates the object, `validate` after it. Both
//!    may await remote calls, because they run outside of the transaction, and run again if the
//!    object changed meanwhile. See
//!    [`registry::admission::namespace_lifecycle::NamespaceLifecycle`].
//! 2. A step that counts returns a [`registry::admission::plugin::Reservation`], which is settled
//!    when the transaction ends. See [`registry::admission::object_quota::ObjectQuota`].
//! 3. Add its name to [`registry::admission::selection::PluginName`], whose order is that of the
//!    chain, and build it in `server/admission.rs`.
//! 4. Test it with a [`resources::Client`] on a store from [`store::in_memory`].

pub mod api;
pub mod auth;
pub mod cli;
pub mod cluster;
pub mod controllers;
pub mod domain;
pub mod endpoints;
pub mod machinery;
pub mod meta;
pub mod oci;
pub mod registry;
pub mod resources;
pub mod runtime;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod tls;
