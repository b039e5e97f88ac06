"""Runs: `train` and `resume`, run directories, checkpoints, saved policies, and training loops in one call.

`ALGORITHMS` lists what can be trained. A run directory holds its options, one row of metrics for each report, the best
and the final policy, and checkpoints from which it goes on exactly.
"""

from jaxdaw.training._checkpoint import Checkpointer
from jaxdaw.training._fit import fit
from jaxdaw.training._interrupt import exit_status
from jaxdaw.training._options import refuse_idle
from jaxdaw.training._periodically import Periodically
from jaxdaw.training._policy_file import load_policy, save_policy
from jaxdaw.training._progress import Progress
from jaxdaw.training._run import Run, members_of, resume, run_policy, run_recipe, train
from jaxdaw.training._run_directory import read_config, versions
from jaxdaw.training._trainer import LoopOptions
from jaxdaw.training.algorithms import ALGORITHMS, Algorithm, BanditConfig, BcConfig, DqnConfig, ReinforceConfig

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "BanditConfig",
    "BcConfig",
    "Checkpointer",
    "DqnConfig",
    "LoopOptions",
    "Periodically",
    "Progress",
    "ReinforceConfig",
    "Run",
    "exit_status",
    "fit",
    "load_policy",
    "members_of",
    "read_config",
    "refuse_idle",
    "resume",
    "run_policy",
    "run_recipe",
    "save_policy",
    "train",
    "versions",
]
