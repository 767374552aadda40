# The gateway: one binary on a small Debian. `docker build -t sipost .`
# Needs BuildKit (Docker 23 or later) for the cache mounts, which keep what was built before.

# scripts/image pins both to their digests.
ARG RUST_IMAGE=rust:1-bookworm
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --bin sipost --config .cargo/release.toml \
    && nm -D --undefined-only target/release/sipost > /tmp/symbols \
    && grep -q '__stack_chk_fail' /tmp/symbols && grep -q '__memcpy_chk' /tmp/symbols \
    && install -D target/release/sipost /out/sipost

FROM ${BASE_IMAGE}
# The roots that wss servers and webhooks are checked against; nothing else is installed.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin sipost \
    && install -d -o sipost -g sipost -m 0750 /var/lib/sipost
COPY --from=build /out/sipost /usr/local/bin/sipost

USER 10001:10001
WORKDIR /var/lib/sipost
ENV SIPOST__STORE__URL=sqlite:///var/lib/sipost/sipost.db
VOLUME /var/lib/sipost
EXPOSE 8080
# Stops in order: see docs/operating.md for how long that may take.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=15s --start-interval=1s --retries=3 \
    CMD ["sipost", "health"]
ENTRYPOINT ["sipost"]
CMD ["serve"]
