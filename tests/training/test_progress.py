import io

from jaxdaw.training import Progress

TRAIN = {
    "kind": "train",
    "step": 500,
    "train_step": 10,
    "mean_return": 21.5,
    "epsilon": 0.4,
    "loss": 0.25,
    "steps_per_second": 1234.0,
}
EVAL = {"kind": "eval", "step": 500, "mean_return": 30.0, "episodes": 5, "best": True}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_plain_lines_when_not_a_terminal():
    stream = io.StringIO()
    with Progress(1_000, "dqn Test-v0", stream) as progress:
        progress.update(TRAIN)
        progress.update({**TRAIN, "step": 510})
        progress.update(EVAL)
    text = stream.getvalue()
    assert "500/1k  1,234/s  return 21.5  eps 0.40  loss 0.25" in text
    assert "evaluation: return 30.0 over 5 episodes  best so far, saved" in text
    assert "\x1b" not in text
    assert text.count("\n") == 3  # a title, one line of twenty, one evaluation


def test_a_live_line_on_a_terminal():
    stream = Terminal()
    with Progress(1_000, "dqn Test-v0", stream) as progress:
        progress.update(TRAIN)
    assert "\x1b" in stream.getvalue()
    assert "return 21.5" in stream.getvalue()


def test_quiet_says_nothing():
    stream = io.StringIO()
    with Progress(1_000, "dqn Test-v0", stream, quiet=True) as progress:
        progress.update(TRAIN)
        progress.update(EVAL)
    assert stream.getvalue() == ""


def test_what_was_lost_and_what_was_refused_is_said():
    stream = io.StringIO()
    with Progress(1_000, "t", stream) as progress:
        progress.update({"kind": "resume", "step": 10, "restored": "weights", "lost": "the environment"})
        progress.update({"kind": "warning", "step": 11, "refused": 2, "updates": 3})
    assert "not restored: the environment" in stream.getvalue()
    assert "2 of 3 updates refused" in stream.getvalue()
