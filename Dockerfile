# Targets: cpu (API, beat, workers with the embedded engine) and gpu (workers with vLLM).

FROM python:3.12.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# With pip inside: the embedded engine fetches its default model by it.
RUN python -m venv /opt/qbench
ENV PATH=/opt/qbench/bin:$PATH
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu torch==2.13.0+cpu
WORKDIR /src
# Everything but the code first: a change of the code leaves this layer as it is.
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY qbench/__init__.py qbench/
RUN pip install -c requirements.lock '.[service,postgres,api,otel,local]'
COPY qbench qbench
RUN pip install --no-deps --force-reinstall .

FROM python:3.12.12-slim AS cpu
COPY --from=build /opt/qbench /opt/qbench
ENV PATH=/opt/qbench/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A new volume takes its owner from the folder it covers, so the folder is there.
RUN useradd --create-home --uid 10001 qbench && install -d -o qbench -g qbench /home/qbench/.cache
USER qbench
WORKDIR /home/qbench
ENTRYPOINT ["qbench"]

FROM vllm/vllm-openai:v0.26.0 AS gpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
# In an environment of its own: vLLM's pins are its own business.
RUN python3 -m venv --without-pip /opt/qbench
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY qbench qbench
RUN python3 -m pip --python /opt/qbench/bin/python install -c requirements.lock \
    pip '.[service,postgres,api,otel]'
# By PATH alone: vLLM stays what `vllm` was before, qbench comes first.
ENV PATH=/opt/qbench/bin:$PATH
RUN useradd --create-home --uid 10001 qbench && install -d -o qbench -g qbench /home/qbench/.cache
USER qbench
RUN command -v vllm && qbench --version
WORKDIR /home/qbench
ENTRYPOINT ["qbench"]
