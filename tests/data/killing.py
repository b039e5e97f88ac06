"""Adds episodes in a process that somebody else kills; prints the number of each as soon as it is on the disk.

python killing.py DIRECTORY SHARD_BYTES
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.recordings import ACTION_SPEC, OBSERVATION_SPEC, episode
from jaxdaw.data import DemonstrationWriter

writer = DemonstrationWriter(sys.argv[1], OBSERVATION_SPEC, ACTION_SPEC, shard_bytes=int(sys.argv[2]))
while True:
    writer.add(episode(writer.num_episodes, 50, terminated=True))
    print(writer.num_episodes, flush=True)
