# docker build -t recsys-run .    then: docker run --rm -v "$PWD/artifacts:/srv/recsys/artifacts" recsys-run recipes/two_tower.lua
# As SageMaker starts it: docker run recsys-run train, docker run recsys-run serve (docs/sagemaker.md).
FROM debian:12 AS build
WORKDIR /src
COPY . .
# The wrapper installs the packages, builds, and hands over; the install needs nothing else from this stage.
RUN ./recsys-run --version && cmake --install build/release --prefix /opt/recsys-run --strip

FROM debian:12-slim
# The user that it runs as. Where the folders below /opt/ml are given to root: --build-arg RUN_AS=root
ARG RUN_AS=recsys
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true \
      com.amazonaws.sagemaker.capabilities.multi-models=true
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends liblua5.4-0 libopenblas0-openmp \
      libarchive13 libjansson4 libssl3 libxxhash0 libutf8proc2 zlib1g libzstd1 libsqlite3-0 libmicrohttpd12 libcurl4 \
      ca-certificates lua-cjson lua-luv lua-filesystem lua-argparse libjs-chart.js \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home recsys \
 && install -d -o recsys /srv/recsys /opt/ml /opt/ml/input /opt/ml/model /opt/ml/output
COPY --from=build /opt/recsys-run /usr/local
USER $RUN_AS
WORKDIR /srv/recsys
EXPOSE 8080
# A list, without a shell between: words arrive as they are, and SIGTERM at the program.
ENTRYPOINT ["recsys-run"]
CMD ["--help"]
