# A service of one model (docs/reference/serving.md):
#   docker build -t xmcpipe .
#   docker run --rm -p 8000:8000 -v "$PWD/my-model:/model:ro" xmcpipe
# TORCH_INDEX chooses where torch comes from, for example the index of its builds for the CPU alone, which are
# a tenth of the size: docker build --build-arg TORCH_INDEX=ADDRESS .
FROM python:3.12-slim
ARG TORCH_INDEX=""
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY xmcpipe xmcpipe
COPY kernels kernels
COPY pipelines pipelines
RUN pip install --no-cache-dir -c constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch \
 && pip install --no-cache-dir -c constraints.txt '.[serve]' \
 && useradd --create-home service
USER service
WORKDIR /home/service
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health')"]
# A list, so that the service itself gets SIGTERM from `docker stop`, and answers what it accepted.
ENTRYPOINT ["xmcpipe", "serve"]
CMD ["/model", "--host", "0.0.0.0"]
