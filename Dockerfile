# docker build -t fusionbench .
# docker run --rm -v "$PWD:/work" fusionbench run -m laplacian -t pet-mri --limit 2
# With a GPU: docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu126 -t fusionbench . ; docker run --gpus all ...
FROM python:3.11-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY . /src
RUN cd /src \
    && pip install --no-cache-dir --no-deps -c constraints.txt --index-url "$TORCH_INDEX" torch \
    && pip install --no-cache-dir -c constraints.txt ".[train,volumes]" \
    && rm -rf /src \
    && mkdir -m 777 /cache /work
# Compiled metrics and downloads, for whichever user the container runs as; a volume keeps them.
ENV NUMBA_CACHE_DIR=/cache/numba XDG_DATA_HOME=/cache/data MPLCONFIGDIR=/cache/matplotlib OMP_NUM_THREADS=1
WORKDIR /work
ENTRYPOINT ["fusionbench"]
CMD ["--help"]
