"""The command `jaxdaw`: frozen dataclasses become flags; everything else is the library's."""

from jaxdaw.cli._main import main

__all__ = ["main"]
