# The service on a CPU, without models: mount a store on /models.
#   docker build -f docker/serve.Dockerfile -t loyal .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --stop-timeout 35 \
#       -v "$PWD/model_store:/models:ro" -p 127.0.0.1:8000:8000 loyal
FROM debian:bookworm-slim@sha256:96e378d7e6531ac9a15ad505478fcc2e69f371b10f5cdf87857c4b8188404716 AS python
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3=3.11.* \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/*

FROM python AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv=3.11.* \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY docker/build.lock docker/serve.lock ./
# What serves gets no pip: that of a second environment installs into it.
RUN python3 -m venv --without-pip /opt/loyal \
    && python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r build.lock \
    && /opt/build/bin/pip --python /opt/loyal/bin/python install \
        --no-cache-dir --only-binary :all: --require-hashes -r serve.lock
COPY pyproject.toml LICENSE ./
COPY app app
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/build/bin/pip --python /opt/loyal/bin/python install --no-cache-dir --no-deps --no-index dist/*.whl

FROM python AS serve
LABEL org.opencontainers.image.title="loyal" \
      org.opencontainers.image.description="Small distilled language models, served on a CPU" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/loyal /opt/loyal
COPY docker/healthcheck.py /opt/loyal/healthcheck.py
ENV PATH=/opt/loyal/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    LOYAL_HOST=0.0.0.0 \
    LOYAL_MODEL_STORE=/models
# The build ends here if the service does not import, or torch or a compiler got in.
RUN mkdir /models \
    && python -c "import app.server" \
    && ! python -c "import torch" 2>/dev/null \
    && for tool in cc gcc clang pip; do ! command -v "$tool" || exit 1; done
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s \
    CMD ["python", "/opt/loyal/healthcheck.py"]
# No shell in between: the service is process 1 and gets SIGTERM itself.
ENTRYPOINT ["python", "-m", "app"]
CMD ["serve"]
