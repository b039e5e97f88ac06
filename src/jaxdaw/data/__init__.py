"""Demonstrations, logged decisions and tables: read from many kinds of files, checked, and written.

`read_demonstrations` reads a directory of jaxdaw, a Minari data set, a table or an archive; `check` lists everything
that is wrong with what was read; `Demonstrations` hands out batches. `read_decisions` reads the log of a policy that
chose among arms, `audit` tests its probabilities, `DecisionWriter` writes it. No file can run code, and what
a file can make its reader allocate is bounded by the size of the file.
"""

from jaxdaw.data._report import Fault, Report
from jaxdaw.data.decisions._audit import Audit, AuditCheck, audit
from jaxdaw.data.decisions._check import check_decisions as check_decisions
from jaxdaw.data.decisions._check import is_rewarded as is_rewarded
from jaxdaw.data.decisions._convert import write_decisions
from jaxdaw.data.decisions._decisions import Decisions
from jaxdaw.data.decisions._dsjson import write_dsjson
from jaxdaw.data.decisions._experience import DecisionExperience, decision_experience
from jaxdaw.data.decisions._hold_out import hold_out
from jaxdaw.data.decisions._open_bandit import read_open_bandit
from jaxdaw.data.decisions._outcomes import Outcomes, OutcomeTable, join_outcomes
from jaxdaw.data.decisions._read import read_decisions
from jaxdaw.data.decisions._writer import DecisionWriter
from jaxdaw.data.demonstrations._arrays import from_arrays
from jaxdaw.data.demonstrations._check import check
from jaxdaw.data.demonstrations._convert import convert
from jaxdaw.data.demonstrations._demonstrations import Demonstrations, Sequences
from jaxdaw.data.demonstrations._directory import read, verify
from jaxdaw.data.demonstrations._episode import Episode
from jaxdaw.data.demonstrations._read import read_demonstrations
from jaxdaw.data.demonstrations._repair import Repair, repair
from jaxdaw.data.demonstrations._summary import summary
from jaxdaw.data.demonstrations._writer import DemonstrationWriter
from jaxdaw.data.tables._classification import TABLES, ClassificationTable, load_table, read_labelled_csv
from jaxdaw.data.tables._ratings import RatingTable, load_movielens

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
    "audit",
    "check",
    "convert",
    "decision_experience",
    "from_arrays",
    "hold_out",
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
