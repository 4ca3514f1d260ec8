# syntax=docker/dockerfile:1
#
#   docker build --target cpu  --build-arg TORCH_INDEX_URL=<wheel index with CPU-only torch> -t s2ldm-node:cpu .
#   docker build --target cuda -t s2ldm-node:cuda .
#   docker run -p 11112:11112 -p 8104:8104 -v s2ldm:/var/lib/s2ldm --name node s2ldm-node:cpu
#   docker exec -it node s2ldm-node users add NAME     (the console asks for a log-in, as it listens to other machines)
#
# Without TORCH_INDEX_URL torch comes from the default index, whose Linux wheels bring their CUDA libraries along. The
# CUDA image therefore needs no CUDA base image, only NVIDIA's container runtime (docker run --gpus all).

ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/s2ldm
ENV PATH=/opt/s2ldm/bin:${PATH}
# Dependencies first: they change more seldom than the source, and are most of the image.
COPY pyproject.toml constraints.txt ./
# Optional ones, with spaces between: EXTRAS=postgres for several nodes, "postgres ray" for a Ray cluster, too.
ARG EXTRAS=""
RUN python -c "import sys, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
        optional = [one for name in sys.argv[1:] for one in project['optional-dependencies'][name]]; \
        print(*project['dependencies'], *optional, sep='\n')" ${EXTRAS} \
        > requirements.txt

FROM build AS build-cpu
ARG TORCH_INDEX_URL=""
RUN pip install ${TORCH_INDEX_URL:+--extra-index-url "${TORCH_INDEX_URL}"} -c constraints.txt -r requirements.txt
COPY . .
RUN pip install --no-deps .

FROM build AS build-cuda
ARG TORCH_INDEX_URL=""
RUN pip install ${TORCH_INDEX_URL:+--extra-index-url "${TORCH_INDEX_URL}"} -c constraints.txt -r requirements.txt
COPY . .
RUN pip install --no-deps .

FROM ${PYTHON_IMAGE} AS runtime
RUN groupadd --gid 10001 s2ldm \
    && useradd --uid 10001 --gid s2ldm --home-dir /var/lib/s2ldm --create-home --shell /usr/sbin/nologin s2ldm
ENV PATH=/opt/s2ldm/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    S2LDM_NODE__DATA_DIR=/var/lib/s2ldm \
    S2LDM_WEB__HOST=0.0.0.0
WORKDIR /var/lib/s2ldm
USER 10001:10001
VOLUME /var/lib/s2ldm
EXPOSE 11112 8104
# Whether it works, not only whether it runs (over http: with web.tls, give docker run a check of its own): a part that is not ready, a timer that fails and work that stalls are seen.
HEALTHCHECK --interval=30s --timeout=10s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('S2LDM_WEB__PORT', '8104') + '/readyz', timeout=9)"]
# SIGTERM lets the node finish what it received; SIGKILL loses nothing either.
STOPSIGNAL SIGTERM
ENTRYPOINT ["s2ldm-node"]
CMD ["serve"]

FROM runtime AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-cuda /opt/s2ldm /opt/s2ldm

FROM runtime AS cpu
COPY --from=build-cpu /opt/s2ldm /opt/s2ldm
