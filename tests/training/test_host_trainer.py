"""What only the trainer of host environments does."""

from .worlds import make_small


def test_nothing_recompiles_after_warm_up():
    trainer = make_small("CartPole-v1")
    for _ in range(6):
        trainer.run()
    assert (trainer._learn._cache_size(), trainer._collect._cache_size()) == (1, 1)
