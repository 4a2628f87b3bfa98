"""The Dockerfile: constant, so that nothing a user wrote is ever read as one."""

from __future__ import annotations

VERSION = "2"
"""Raise it when the Dockerfile or the programs inside change, so that images are built anew."""

ROOT = "/opt/model-envelope"
USER = 10001
"""User and group, by number, whom services run as."""

DEPENDENCIES = f"""\
ARG BASE
FROM ${{BASE}} AS dependencies
ADD environment.tar.gz {ROOT}/environment/
COPY check.py start.py health.py {ROOT}/
RUN ["{ROOT}/environment/bin/python", "-I", "{ROOT}/check.py"]
ENV HOME=/tmp LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \\
    PYTHONNOUSERSITE=1 PYTHONSAFEPATH=1
EXPOSE 8080
USER {USER}:{USER}
WORKDIR /
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=4 \\
    CMD ["{ROOT}/environment/bin/python", "-I", "{ROOT}/health.py"]
CMD []
ENTRYPOINT ["{ROOT}/environment/bin/python", "-I", "{ROOT}/start.py"]
"""
"""Everything that the models of one environment share."""

_FROM = """\
ARG DEPENDENCIES
FROM ${DEPENDENCIES}
"""

_MODEL = f"""\
COPY model/ {ROOT}/
"""

MODEL = _FROM + _MODEL
"""One model, on the image of its dependencies."""

WHOLE = DEPENDENCIES + "FROM dependencies\n" + _MODEL
"""Both in one, for whoever builds elsewhere."""
