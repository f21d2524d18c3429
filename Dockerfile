# Unproven: written with care, but it was never built where this was written. Reports are welcome.
#
#     docker build -t kmerit .
#     docker run --rm -v "$PWD:/data" kmerit run bundled:demo --out /data/demo
FROM python:3.12-slim

# The locked versions, with a CPU build of torch where there is no GPU to be seen while this is built.
COPY . /srv/kmerit
RUN cd /srv/kmerit && python tools/install.py .venv && useradd --create-home user

USER user
WORKDIR /data
ENTRYPOINT ["/srv/kmerit/.venv/bin/kmerit"]
CMD ["--help"]
