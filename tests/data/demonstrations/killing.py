"""Adds episodes in a process that somebody else kills; prints the number of each as soon as it is on the disk.

python killing.py DIRECTORY SHARD_BYTES
"""

import sys
from pathlib import Path


def add_for_ever(directory: str, shard_bytes: int) -> None:
    """Adds episodes until it is killed."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from data.recordings import ACTION_SPEC, OBSERVATION_SPEC, episode
    from jaxdaw.data import DemonstrationWriter

    writer = DemonstrationWriter(directory, OBSERVATION_SPEC, ACTION_SPEC, shard_bytes=shard_bytes)
    while True:
        writer.add(episode(writer.num_episodes, 50, terminated=True))
        print(writer.num_episodes, flush=True)


if __name__ == "__main__":
    add_for_ever(sys.argv[1], int(sys.argv[2]))
