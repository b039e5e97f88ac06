"""The type checker that checks shapes and dtypes of annotated functions while tests run; see `conftest.py`."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as in every other type checker
