# Both images of Headrace: `--target operator` and `--target trainer`. `make images` builds them; docs/release.md says more.
#
# The base only needs Python 3.11 or newer as python3. The builder is the same distribution with Python's venv and pip; nothing of it ends
# up in the images. If you cannot reach a registry, `make base-image` makes both from Debian packages.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
ARG BUILDER=${BASE}

# --- what the builds need; it never ships
FROM ${BUILDER} AS builder
# The same uv as in local/bootstrap.py. To use your own package index: --build-arg PIP_INDEX_URL=… --build-arg UV_DEFAULT_INDEX=…
COPY local/uv.txt /uv.txt
ARG PIP_INDEX_URL
# Pass your own CA bundle as a secret (`--secret id=ca,src=FILE`): it exists while a line runs, and in no layer.
RUN --mount=type=secret,id=ca if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    python3 -m venv /uv && /uv/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes -r /uv.txt
ENV UV_CACHE_DIR=/cache UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never PATH=/uv/bin:$PATH
WORKDIR /build
COPY local/headrace_release/settle.py ./
# A virtual environment that finds our code beside it: code is a separate layer, so that changing it ships no packages.
RUN uv venv --quiet --python "$(command -v python3)" /opt/headrace \
 && echo /opt/headrace/code > "$(echo /opt/headrace/lib/python3*/site-packages)/headrace.pth"

# --- which packages: those that pyproject.toml asks for, with the versions and hashes of requirements.lock. Each image gets its own part of
# the lock, so that changing pyproject.toml or a tool's version does not change the layers of packages.
FROM builder AS wanted
ARG UV_DEFAULT_INDEX
COPY local/headrace_release/subset.py pyproject.toml requirements.lock ./
# Only torch.compile uses triton (995 MB unpacked), and we do not compile any network.
RUN --mount=type=secret,id=ca --mount=type=cache,target=/cache if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi; \
    echo triton > excludes.txt && mkdir /wanted \
 && for program in operator trainer; do \
      uv pip compile --quiet --no-header --no-annotate --python "$(command -v python3)" --constraints requirements.lock \
        --excludes excludes.txt --extra $program pyproject.toml > resolved.txt \
   && python3 subset.py requirements.lock resolved.txt > /wanted/$program.lock || exit 1; \
    done \
 && python3 settle.py /wanted

# --- the operator's packages
FROM builder AS operator-packages
ARG UV_DEFAULT_INDEX
COPY --from=wanted /wanted/operator.lock ./
RUN --mount=type=secret,id=ca --mount=type=cache,target=/cache if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi; \
    uv pip install --python /opt/headrace --require-hashes --no-deps --requirements operator.lock \
 && /opt/headrace/bin/python settle.py /opt/headrace

FROM builder AS operator-code
COPY crds/headrace_api /opt/headrace/code/headrace_api
COPY operator/headrace_kube /opt/headrace/code/headrace_kube
COPY operator/headrace_operator /opt/headrace/code/headrace_operator
COPY LICENSE /opt/headrace/code/
RUN /opt/headrace/bin/python settle.py /opt/headrace/code

# --- the trainer's packages; the last line checks that settle.py did not delete anything that torch links
FROM builder AS trainer-packages
ARG UV_DEFAULT_INDEX
COPY --from=wanted /wanted/trainer.lock ./
RUN --mount=type=secret,id=ca --mount=type=cache,target=/cache if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi; \
    uv pip install --python /opt/headrace --require-hashes --no-deps --requirements trainer.lock \
 && /opt/headrace/bin/python settle.py /opt/headrace \
 && /opt/headrace/bin/python -B -c "import torch, torchvision, sklearn.cluster, faster_coco_eval; torch.nn.Linear(2, 2)(torch.zeros(1, 2)).sum().backward()"

FROM builder AS trainer-code
COPY crds/headrace_api /opt/headrace/code/headrace_api
COPY storage/headrace_storage /opt/headrace/code/headrace_storage
COPY trainer/headrace_trainer /opt/headrace/code/headrace_trainer
COPY LICENSE /opt/headrace/code/
RUN /opt/headrace/bin/python settle.py /opt/headrace/code

# --- what each image contains, for a release's inventories: the packages' own records (`--target operator-list --output FOLDER`)
FROM operator-packages AS operator-records
RUN mkdir /records && cd /opt/headrace && cp -r --parents lib/python3*/site-packages/*.dist-info /records
FROM scratch AS operator-list
COPY --from=operator-records /records /

FROM trainer-packages AS trainer-records
RUN mkdir /records && cd /opt/headrace && cp -r --parents lib/python3*/site-packages/*.dist-info /records
FROM scratch AS trainer-list
COPY --from=trainer-records /records /

# --- what both images build on
FROM ${BASE} AS runtime
# torch looks up the name of its user and fails on a uid without one.
RUN echo 'headrace:x:65532:65532::/tmp:/usr/sbin/nologin' >> /etc/passwd && echo 'headrace:x:65532:' >> /etc/group
# Everything is compiled (the trainer starts in 0.23 s instead of 0.7 s, the operator in 0.7 s instead of 1.2 s: measured on 2 cores), and the
# root may be read-only, so Python need not write compiled files. PYTHONSAFEPATH keeps it from importing modules of its working folder.
ENV PATH=/opt/headrace/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1 HOME=/tmp
WORKDIR /opt/headrace
# python:3.11-slim ships its standard library without .pyc files (Debian's Python has them), and on a read-only root Python can never write them.
RUN --mount=type=bind,from=builder,source=/build/settle.py,target=/tmp/settle.py \
    python3 -B /tmp/settle.py --compile "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
USER 65532:65532

# --- the images. Exec form and no init: Python is PID 1 and gets SIGTERM itself. A trainer's orphans (a killed worker's loader processes)
# stay zombies until it ends. There is only a handful, once, because a pod runs one attempt.
FROM runtime AS operator
COPY --from=operator-packages /opt/headrace /opt/headrace
COPY --from=operator-code /opt/headrace/code /opt/headrace/code
ENTRYPOINT ["python", "-m", "headrace_operator"]
CMD ["run"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="headrace-operator" \
      org.opencontainers.image.description="Runs the TrainingJobs of a cluster: one at a time per project, in the order submitted" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM runtime AS trainer
COPY --from=trainer-packages /opt/headrace /opt/headrace
COPY --from=trainer-code /opt/headrace/code /opt/headrace/code
ENTRYPOINT ["python", "-m", "headrace_trainer"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="headrace-trainer" \
      org.opencontainers.image.description="Trains the network of one TrainingJob, and checkpoints when asked to stop" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
