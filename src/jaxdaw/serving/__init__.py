"""Decisions for other programs: a trained policy answers requests, one line of JSON each."""

from jaxdaw.serving._decide import Decider

__all__ = ["Decider"]
