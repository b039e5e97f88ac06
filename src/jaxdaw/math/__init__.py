"""Arrays in, arrays out, one sequence or one sample at a time; `jax.vmap` gives the batch."""

from jaxdaw.math._losses import element_wise_huber_loss, element_wise_squared_loss, index_with_actions
from jaxdaw.math._off_policy import (
    clipped_scores,
    doubly_robust_scores,
    effective_sample_size,
    empirical_bernstein_radius,
    inverse_propensity_scores,
    shrunk_scores,
    switch_scores,
)
from jaxdaw.math._returns import NStepReturn, discounted_returns, generalized_advantages, n_step_return
from jaxdaw.math._updates import clip_by_norm_per_variable, soft_update

__all__ = [
    "NStepReturn",
    "clip_by_norm_per_variable",
    "clipped_scores",
    "discounted_returns",
    "doubly_robust_scores",
    "effective_sample_size",
    "element_wise_huber_loss",
    "element_wise_squared_loss",
    "empirical_bernstein_radius",
    "generalized_advantages",
    "index_with_actions",
    "inverse_propensity_scores",
    "n_step_return",
    "shrunk_scores",
    "soft_update",
    "switch_scores",
]
