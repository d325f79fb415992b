# CPU: docker build -t trm .   CUDA: docker build -t trm --build-arg INDEX=https://pypi.org/simple . && docker run --gpus all trm
# It serves on port 8000, to be published: docker run -p 127.0.0.1:8000:8000 trm   Any other command: docker run trm zoo
ARG BASE=python:3.12-slim
FROM ${BASE}
ARG INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /trm
COPY . .
RUN pip install --no-cache-dir --extra-index-url ${INDEX} --constraint constraints.txt '.[export,hub,serve]'
RUN useradd --create-home --uid 1000 trm
# By number, as Kubernetes refuses to run a name as non-root.
USER 1000
WORKDIR /home/trm
# Matplotlib writes caches, also where the file system of the container is read-only and only /tmp is not.
ENV MPLCONFIGDIR=/tmp/matplotlib
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["trm"]
CMD ["serve", "sudoku-9x9", "--host", "0.0.0.0"]
