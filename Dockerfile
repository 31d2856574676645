# A static binary in an empty image: no shell, no libraries, a numeric user. The rust image of Alpine builds for musl,
# and binaries for musl are static.
FROM rust:1.95-alpine AS build
RUN apk add --no-cache make musl-dev
WORKDIR /source
# The dependencies, in a layer that only the manifest and the lock file invalidate: they are built for an empty crate.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN mkdir -p src benches \
    && echo 'fn main() {}' > src/main.rs && touch src/lib.rs && echo 'fn main() {}' > benches/load.rs \
    && cargo build --locked --release && rm -rf src benches
COPY src src
COPY benches benches
COPY openapi openapi
# Cargo goes by times, and the files copied may be older than the empty crate.
RUN touch src/main.rs src/lib.rs && cargo build --locked --release
# Fails the build where the binary would need a library that the image below does not have.
RUN ! readelf --dynamic target/release/imagestream-apiserver | grep NEEDED && mkdir -p /image/data \
    && strip --strip-debug -o /image/imagestream-apiserver target/release/imagestream-apiserver

FROM scratch
COPY --from=build /image/imagestream-apiserver /imagestream-apiserver
# Where the data goes. It belongs to the user below, so that a new volume that is mounted here does too.
COPY --from=build --chown=65532:65532 /image/data /data
USER 65532:65532
ENTRYPOINT ["/imagestream-apiserver"]
CMD ["serve"]
