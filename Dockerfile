# Static binary in an empty image: no shell, no libraries, a numeric user. The rust image of Alpine
# builds for musl, and binaries for musl are static.
#
# Base images are build arguments. To pin one by digest, and to name commit and date of the build:
#   docker buildx imagetools inspect rust:1.95-alpine --format '{{.Manifest.Digest}}'
#   docker build --build-arg BUILD_IMAGE=rust:1.95-alpine@sha256:… \
#     --build-arg GIT_COMMIT=$(git rev-parse HEAD) \
#     --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) .
ARG BUILD_IMAGE=rust:1.95-alpine
ARG RUNTIME_IMAGE=scratch

FROM ${BUILD_IMAGE} AS build
# protoc and the well-known types are for the etcd store.
RUN apk add --no-cache ca-certificates make musl-dev protobuf protobuf-dev
WORKDIR /source
# The dependencies, in a layer that only the manifest and the lock file invalidate: they are built
# for an empty crate.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN mkdir -p src benches \
    && for file in src/build.rs src/main.rs benches/load.rs; do echo 'fn main() {}' > $file; done \
    && touch src/lib.rs && cargo build --locked --release --features etcd && rm -rf src benches
COPY src src
COPY benches benches
COPY openapi openapi
# Read by src/build.rs: the image has no git folder.
ARG GIT_COMMIT
ARG GIT_TREE_STATE
ARG SOURCE_DATE_EPOCH
# Cargo compares times, and the copied files may be older than the empty crate.
RUN touch src/build.rs src/main.rs src/lib.rs && cargo build --locked --release --features etcd
# Fails the build if the binary needs a library, which the image below does not have.
RUN ! readelf --dynamic target/release/imagestream-apiserver | grep NEEDED && mkdir -p /image/data \
    && strip --strip-debug -o /image/imagestream-apiserver target/release/imagestream-apiserver

FROM ${RUNTIME_IMAGE}
COPY --from=build /image/imagestream-apiserver /imagestream-apiserver
# Root certificates of public registries, for imports.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# Data folder. It belongs to the user below, and so does a new volume that is mounted here.
COPY --from=build --chown=65532:65532 /image/data /data
USER 65532:65532
ENTRYPOINT ["/imagestream-apiserver"]
CMD ["serve"]
