"""The only mutable room: the loop, run directories, checkpoints, policy files, summaries and progress."""

from jaxdaw.training._bandit import BanditRun, resume_bandit, train_bandit
from jaxdaw.training._bandit_config import BanditConfig
from jaxdaw.training._bandit_log import train_bandit_on_log
from jaxdaw.training._bandit_loop import BanditLoop, OnlineState
from jaxdaw.training._checkpoint import Checkpointer, load_tree, save_tree
from jaxdaw.training._clone import CloneRun, clone, resume_clone
from jaxdaw.training._cloning_config import BcConfig
from jaxdaw.training._cloning_trainer import CloningTrainer, EpochReport
from jaxdaw.training._config import DqnConfig
from jaxdaw.training._directory import read_config, versions
from jaxdaw.training._experiment import Run, resume, run_policy, train
from jaxdaw.training._fit import fit, make_trainer, reports
from jaxdaw.training._host_trainer import HostTrainer
from jaxdaw.training._interrupt import Interrupts, exit_status
from jaxdaw.training._jax_trainer import JaxTrainer
from jaxdaw.training._loop import Loop, LoopState, Losses
from jaxdaw.training._periodically import Periodically
from jaxdaw.training._policy_file import load_policy, save_policy
from jaxdaw.training._population import train_seeds
from jaxdaw.training._progress import Progress
from jaxdaw.training._trainer import LoopOptions, Report, Trainer
from jaxdaw.training._writers import MetricsWriter, write_summaries

__all__ = [
    "BanditConfig",
    "BanditLoop",
    "BanditRun",
    "BcConfig",
    "Checkpointer",
    "CloneRun",
    "CloningTrainer",
    "DqnConfig",
    "EpochReport",
    "HostTrainer",
    "Interrupts",
    "JaxTrainer",
    "Loop",
    "LoopOptions",
    "LoopState",
    "Losses",
    "MetricsWriter",
    "OnlineState",
    "Periodically",
    "Progress",
    "Report",
    "Run",
    "Trainer",
    "clone",
    "exit_status",
    "fit",
    "load_policy",
    "load_tree",
    "make_trainer",
    "read_config",
    "reports",
    "resume",
    "resume_bandit",
    "resume_clone",
    "run_policy",
    "save_policy",
    "save_tree",
    "train",
    "train_bandit",
    "train_bandit_on_log",
    "train_seeds",
    "versions",
    "write_summaries",
]
