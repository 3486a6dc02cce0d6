# docker build -t recsys-run .    then: docker run --rm -v "$PWD/artifacts:/srv/recsys/artifacts" recsys-run recipes/two_tower.lua
FROM debian:12 AS build
WORKDIR /src
COPY . .
# The wrapper installs the packages, builds, and hands over; the install needs nothing else from this stage.
RUN ./recsys-run --version && cmake --install build/release --prefix /opt/recsys-run

FROM debian:12-slim
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends liblua5.4-0 libopenblas0-openmp \
      libarchive13 libjansson4 libssl3 libxxhash0 libutf8proc2 zlib1g libzstd1 libsqlite3-0 libmicrohttpd12 libcurl4 \
      ca-certificates lua-cjson lua-luv lua-filesystem lua-argparse libjs-chart.js \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home recsys && install -d -o recsys /srv/recsys
COPY --from=build /opt/recsys-run /usr/local
USER recsys
WORKDIR /srv/recsys
ENTRYPOINT ["recsys-run"]
CMD ["--help"]
