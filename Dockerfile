# syntax=docker/dockerfile:1
# Two stages: the first resolves nothing, it installs what uv.lock says; the second has no compiler and no uv.
ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir "uv>=0.9"
WORKDIR /app
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --no-dev --extra otel --extra server --no-install-project
COPY README.md LICENSE ./
COPY src ./src
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --no-dev --extra otel --extra server --no-editable

FROM python:${PYTHON} AS runtime
RUN groupadd --gid 10001 gristmill \
    && useradd --uid 10001 --gid gristmill --no-create-home --shell /usr/sbin/nologin gristmill \
    && install --directory --owner gristmill --group gristmill /scratch
WORKDIR /app
COPY --from=build /app/.venv ./.venv
COPY alembic.ini ./
COPY migrations ./migrations
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 LOG_FORMAT=json SCRATCH_DIR=/scratch
USER gristmill
EXPOSE 8000
VOLUME /scratch
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=4 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["gristmill"]
CMD ["api"]
