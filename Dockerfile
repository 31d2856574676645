# A static binary in an empty image. Dependencies are built in a layer of their own, which only Cargo.lock invalidates.
FROM rust:1.95-alpine AS build
RUN apk add --no-cache cmake g++ make musl-dev perl
WORKDIR /source
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN mkdir -p src benches && echo 'fn main() {}' > src/main.rs && echo 'fn main() {}' > benches/load.rs && touch src/lib.rs \
    && cargo build --locked --release && rm -rf src benches
COPY src src
COPY benches benches
RUN touch src/main.rs src/lib.rs && cargo build --locked --release

FROM scratch
COPY --from=build /source/target/release/imagestream-apiserver /imagestream-apiserver
USER 65532:65532
ENTRYPOINT ["/imagestream-apiserver"]
CMD ["serve"]
