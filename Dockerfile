# syntax=docker/dockerfile:1

# The tag pins the toolchain; rust-toolchain.toml stays out of the context, as it would fetch lint components.
FROM docker.io/library/rust:1.95.0-bookworm AS build
# Of a stable release of Debian, only fixes of a package change.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends musl-tools && rm -rf /var/lib/apt/lists/*
RUN rustup target add x86_64-unknown-linux-musl && cargo install --locked cargo-auditable@0.7.7
WORKDIR /src
# The dependencies first, with an empty program in the place of ours: this layer stays until Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir benches src tests \
    && touch benches/window.rs benches/matcher.rs benches/store.rs tests/outage.rs src/lib.rs \
    && echo 'fn main() {}' > src/main.rs && cp src/main.rs build.rs \
    && cargo auditable build --locked --profile dist --target x86_64-unknown-linux-musl --bin tidegate
COPY build.rs ./
COPY configs configs
COPY src src
# For `tidegate --version`: the context has no repository.
ARG REVISION=unknown
# cargo goes by time stamps, and those of the checkout may be older than the empty program.
RUN touch build.rs src/lib.rs src/main.rs \
    && TIDEGATE_COMMIT="$REVISION" cargo auditable build --locked --profile dist --target x86_64-unknown-linux-musl --bin tidegate \
    && cp target/x86_64-unknown-linux-musl/dist/tidegate /tidegate

# The static binary needs nothing: no libc, no shell, no package manager in a container that faces the network.
FROM scratch
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tidegate" \
      org.opencontainers.image.description="A reverse-proxy sidecar that rate-limits HTTP with a Redis-backed sliding window" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# For https:// upstreams and rediss://.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /tidegate /usr/local/bin/tidegate
COPY configs/rate_limits.yaml /etc/tidegate/rate_limits.yaml
# A number, not a name: Kubernetes can verify runAsNonRoot only from a number.
USER 65532:65532
# 8080 proxies; 9902 serves probes and metrics.
EXPOSE 8080 9902
HEALTHCHECK --interval=10s --timeout=6s --start-period=5s CMD ["/usr/local/bin/tidegate", "health"]
# Absolute, as the image has no PATH.
ENTRYPOINT ["/usr/local/bin/tidegate"]
CMD ["run", "--config", "/etc/tidegate/rate_limits.yaml"]
