"""Adds decisions in a process that somebody else kills; prints how many there are whenever a part is on the disk.

python killing_log.py DIRECTORY FILE_FORMAT
"""

import sys
from pathlib import Path

PART = 10


def add_for_ever(directory: str, file_format: str) -> None:
    """Adds decisions until it is killed."""
    from jaxdaw.data import DecisionWriter, read_decisions

    count = len(read_decisions(directory)) if (Path(directory) / "log.json").exists() else 0
    writer = DecisionWriter(directory, 2, file_format=file_format)
    while True:
        for _ in range(PART):
            writer.add(count % 2, probability=0.5, decision_id=str(count), reward=0.5, policy_version="x" * 100)
            count += 1
        writer.flush()
        print(count, flush=True)


if __name__ == "__main__":
    add_for_ever(sys.argv[1], sys.argv[2])
