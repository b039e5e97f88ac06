"""Imports the oracle once, with the warnings that its own imports cause switched off; ours stay errors."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import distrax  # noqa: F401
