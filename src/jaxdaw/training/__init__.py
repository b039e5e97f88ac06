"""Runs: `train` and `resume`, run directories, checkpoints, saved policies, and training loops in one call.

`ALGORITHMS` lists what can be trained. A run directory holds its options, one row of metrics for each report, the best
and the final policy, and checkpoints from which it goes on exactly.
"""

from jaxdaw.training._checkpoint import Checkpointer
from jaxdaw.training._fit import fit
from jaxdaw.training._interrupt import exit_status as exit_status
from jaxdaw.training._options import flag_of as flag_of
from jaxdaw.training._options import refuse_idle as refuse_idle
from jaxdaw.training._periodically import Periodically
from jaxdaw.training._policy_file import load_policy, save_policy
from jaxdaw.training._progress import Progress as Progress
from jaxdaw.training._run import Run, resume, run_policy, train
from jaxdaw.training._run import members_of as members_of
from jaxdaw.training._run import run_recipe as run_recipe
from jaxdaw.training._run_directory import read_config as read_config
from jaxdaw.training._run_directory import versions as versions
from jaxdaw.training._trainer import LoopOptions
from jaxdaw.training.algorithms import (
    ALGORITHMS,
    A2cConfig,
    Algorithm,
    BanditConfig,
    BcConfig,
    C51Config,
    DdpgConfig,
    DqnConfig,
    PpoConfig,
    QrDqnConfig,
    RainbowConfig,
    ReinforceConfig,
    SacConfig,
    Td3Config,
)

__all__ = [
    "ALGORITHMS",
    "A2cConfig",
    "Algorithm",
    "BanditConfig",
    "BcConfig",
    "C51Config",
    "Checkpointer",
    "DdpgConfig",
    "DqnConfig",
    "LoopOptions",
    "Periodically",
    "PpoConfig",
    "QrDqnConfig",
    "RainbowConfig",
    "ReinforceConfig",
    "Run",
    "SacConfig",
    "Td3Config",
    "fit",
    "load_policy",
    "resume",
    "run_policy",
    "save_policy",
    "train",
]
