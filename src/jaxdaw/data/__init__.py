"""Demonstrations: recorded episodes in one form, from files of many kinds, checked before anything learns from them.

`read_demonstrations` reads a directory of jaxdaw, a Minari data set, a table or an archive; `check` lists everything
that is wrong with what was read; `Demonstrations` hands out batches. No file is trusted, and none can run code.
"""

from jaxdaw.data._arrays import from_arrays
from jaxdaw.data._check import check
from jaxdaw.data._classification import TABLES, ClassificationTable, load_table, read_labelled_csv
from jaxdaw.data._convert import convert
from jaxdaw.data._demonstrations import Demonstrations, Sequences, Steps
from jaxdaw.data._episodes import Episode
from jaxdaw.data._feedback import LoggedFeedback, RatingTable, load_movielens, load_open_bandit
from jaxdaw.data._read import read_demonstrations
from jaxdaw.data._repair import Repair, repair
from jaxdaw.data._report import Fault, Report
from jaxdaw.data._store import read, verify
from jaxdaw.data._summary import summary
from jaxdaw.data._writer import DemonstrationWriter

__all__ = [
    "TABLES",
    "ClassificationTable",
    "DemonstrationWriter",
    "Demonstrations",
    "Episode",
    "Fault",
    "LoggedFeedback",
    "RatingTable",
    "Repair",
    "Report",
    "Sequences",
    "Steps",
    "check",
    "convert",
    "from_arrays",
    "load_movielens",
    "load_open_bandit",
    "load_table",
    "read",
    "read_demonstrations",
    "read_labelled_csv",
    "repair",
    "summary",
    "verify",
]
