# syntax=docker/dockerfile:1

# The release build. Caches live in the build machine, not in a layer.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --bin authsession \
 && install -D target/release/authsession /image/authsession

# The image's whole file system: the program, the C library it was linked with, certificates, and a place for data.
# `ldd` names the libraries, so this serves every architecture.
RUN ldd /image/authsession | grep -o '/[^ ]*' | xargs -I {} install -D {} /image{} \
 && install -D /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
 && install -d -m 0700 -o 65532 -g 65532 /image/data

# No shell, no package manager, no root.
FROM scratch
COPY --from=build /image /
USER 65532:65532
ENV AUTHSESSION_DATA_DIR=/data
VOLUME /data
# Client apps; gateways and admin services. The latter stays on loopback until AUTHSESSION_INTERNAL_HTTP_ADDR says else.
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/authsession", "healthcheck"]
ENTRYPOINT ["/authsession"]
