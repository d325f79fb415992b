# CPU: docker build -t trm .   CUDA: docker build -t trm --build-arg INDEX=https://pypi.org/simple . && docker run --gpus all trm
ARG BASE=python:3.12-slim
FROM ${BASE}
ARG INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /trm
COPY . .
RUN pip install --no-cache-dir --extra-index-url ${INDEX} --constraint constraints.txt '.[hub]'
ENTRYPOINT ["trm"]
