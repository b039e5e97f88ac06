"""Demonstrations and logged decisions, from files of many kinds, checked before anything learns from them.

`read_demonstrations` reads a directory of jaxdaw, a Minari data set, a table or an archive; `check` lists everything
that is wrong with what was read; `Demonstrations` hands out batches. `read_decisions` reads the log of a policy that
chose among arms, `audit` tests its probabilities, `DecisionWriter` writes it. No file is trusted, none can run code.
"""

from jaxdaw.data._arrays import from_arrays
from jaxdaw.data._check import check
from jaxdaw.data._classification import TABLES, ClassificationTable, load_table, read_labelled_csv
from jaxdaw.data._convert import convert
from jaxdaw.data._decisions import Decisions
from jaxdaw.data._decisions_audit import Audit, AuditCheck, audit
from jaxdaw.data._decisions_check import check_decisions
from jaxdaw.data._decisions_convert import write_decisions
from jaxdaw.data._decisions_dsjson import write_dsjson
from jaxdaw.data._decisions_experience import DecisionExperience, decision_experience
from jaxdaw.data._decisions_log import DecisionWriter
from jaxdaw.data._decisions_read import read_decisions
from jaxdaw.data._demonstrations import Demonstrations, Sequences, Steps
from jaxdaw.data._episodes import Episode
from jaxdaw.data._open_bandit import read_open_bandit
from jaxdaw.data._outcomes import Outcomes, OutcomeTable, join_outcomes
from jaxdaw.data._ratings import RatingTable, load_movielens
from jaxdaw.data._read import read_demonstrations
from jaxdaw.data._repair import Repair, repair
from jaxdaw.data._report import Fault, Report
from jaxdaw.data._store import read, verify
from jaxdaw.data._summary import summary
from jaxdaw.data._writer import DemonstrationWriter

__all__ = [
    "TABLES",
    "Audit",
    "AuditCheck",
    "ClassificationTable",
    "DecisionExperience",
    "DecisionWriter",
    "Decisions",
    "DemonstrationWriter",
    "Demonstrations",
    "Episode",
    "Fault",
    "OutcomeTable",
    "Outcomes",
    "RatingTable",
    "Repair",
    "Report",
    "Sequences",
    "Steps",
    "audit",
    "check",
    "check_decisions",
    "convert",
    "decision_experience",
    "from_arrays",
    "join_outcomes",
    "load_movielens",
    "load_table",
    "read",
    "read_decisions",
    "read_demonstrations",
    "read_labelled_csv",
    "read_open_bandit",
    "repair",
    "summary",
    "verify",
    "write_decisions",
    "write_dsjson",
]
