# The gateway: one binary with its libraries, and nothing else.
#   docker build -t sipost .
#   docker run --rm -p 127.0.0.1:8080:8080 -e SIPOST__HTTP__AUTH=none sipost
# Needs BuildKit (Docker 23 or later) for the cache mounts, which keep what was built before.

# scripts/image pins it to its digest.
ARG RUST_IMAGE=rust:1-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --profile dist --features otlp --config .cargo/dist.toml --bin sipost \
    && nm -D --undefined-only target/dist/sipost > /tmp/symbols \
    && grep -q '__stack_chk_fail' /tmp/symbols && grep -q '__memcpy_chk' /tmp/symbols \
    && scripts/image-root target/dist/sipost /out

FROM scratch
# The binary, its libraries, the roots that wss servers and webhooks are checked against, and a user.
COPY --from=build /out/ /
# The store is the gateway's own.
COPY --from=build --chown=10001:10001 /out/var/lib/ /var/lib/

USER 10001:10001
WORKDIR /var/lib/sipost
ENV PATH=/usr/local/bin
ENV SIPOST__STORE__URL=sqlite:///var/lib/sipost/sipost.db
VOLUME /var/lib/sipost
EXPOSE 8080
# Stops in order: see docs/operating.md for how long that may take.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=15s --start-interval=1s --retries=3 \
    CMD ["sipost", "health"]
ENTRYPOINT ["sipost"]
CMD ["serve"]
