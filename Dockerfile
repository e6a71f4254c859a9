# syntax=docker/dockerfile:1

# The tag pins the toolchain; rust-toolchain.toml stays out of the context, as it would fetch lint components.
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
# The caches outlive the layer, the binary must not stay in one: hence the copy in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release && cp target/release/tidegate /tidegate

# Distroless: glibc, libgcc and CA certificates, the same Debian as the build stage, and no shell or package
# manager in a container that faces the network. Musl would be smaller, but its allocator contends under load.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /tidegate /usr/local/bin/tidegate
COPY configs/rate_limits.yaml /etc/tidegate/rate_limits.yaml
# A number, not a name: Kubernetes can verify runAsNonRoot only from a number.
USER 65532:65532
# 8080 proxies; 9902 serves probes and metrics, to be asked by the orchestrator: a HEALTHCHECK would need a shell.
EXPOSE 8080 9902
ENTRYPOINT ["tidegate"]
CMD ["run", "--config", "/etc/tidegate/rate_limits.yaml"]
