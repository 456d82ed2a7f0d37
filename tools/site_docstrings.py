"""Docstrings as Markdown for the Python API of the site: roles become code, and a double colon a single one."""

from __future__ import annotations

import re
from typing import Any

import griffe


class PlainRoles(griffe.Extension):  # type: ignore[misc]
    """What mkdocstrings shows of ``:func:`~package.name``` is ``package.name``."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", obj.docstring.value)
            obj.docstring.value = re.sub(r"::\n", ":\n", text)
