# Targets: cpu (API, beat, workers with the embedded engine) and gpu (workers with vLLM).
FROM python:3.12.12-slim AS base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 10001 qbench

FROM base AS cpu
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu torch==2.13.0+cpu
WORKDIR /src
COPY requirements.lock ./
RUN pip install -r requirements.lock
COPY . .
RUN pip install --no-deps .
USER qbench
WORKDIR /home/qbench
ENTRYPOINT ["qbench"]

FROM vllm/vllm-openai:v0.26.0 AS gpu
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 10001 qbench
WORKDIR /src
COPY . .
# In an environment of its own: vLLM's pins are its own business.
RUN python3 -m venv /opt/qbench && /opt/qbench/bin/pip install '.[service,postgres,api]'
ENV PATH=/opt/qbench/bin:$PATH QBENCH_VLLM=/usr/local/bin/vllm
USER qbench
WORKDIR /home/qbench
ENTRYPOINT ["qbench"]
