# Training: data on /data, results on /results, packages in /results/model_store.
#   docker build -f docker/train.Dockerfile -t loyal-train .
#   docker run --gpus all --user "$(id -u):$(id -g)" -v CORPORA:/data:ro -v "$PWD/results:/results" \
#       loyal-train run /opt/loyal/training/recipes/ner-ro.yaml
# TORCH_INDEX may name the package index to take torch from, as PyTorch's of CPU builds.
FROM debian:bookworm-slim@sha256:96e378d7e6531ac9a15ad505478fcc2e69f371b10f5cdf87857c4b8188404716
ARG TORCH_INDEX=
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        libjemalloc2=5.3.* python3=3.11.* python3-venv=3.11.* \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/loyal
COPY constraints.txt pyproject.toml LICENSE ./
COPY app app
COPY training training
RUN python3 -m venv /opt/train \
    && if [ -n "$TORCH_INDEX" ]; then \
        /opt/train/bin/pip install --no-cache-dir --constraint constraints.txt --no-deps --index-url "$TORCH_INDEX" torch; fi \
    && /opt/train/bin/pip install --no-cache-dir --constraint constraints.txt --editable '.[train]'
# jemalloc gives freed memory back; with glibc's allocator a CPU run spends much of its time on that.
ENV PATH=/opt/train/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    LD_PRELOAD=libjemalloc.so.2 \
    MALLOC_CONF=narenas:1,dirty_decay_ms:20000,muzzy_decay_ms:-1,oversize_threshold:0,thp:always \
    HF_HOME=/results/.huggingface \
    LOYAL_DATA=/data
RUN install --directory --owner=10001 --group=10001 /results
WORKDIR /results
USER 10001:10001
ENTRYPOINT ["python", "-m", "training"]
CMD ["--help"]
