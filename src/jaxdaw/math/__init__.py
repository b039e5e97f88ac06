"""Pure functions of arrays, for one sample or one sequence; `jax.vmap` adds the batch axis."""

from jaxdaw.math._distributional import project_distribution, quantile_huber_loss
from jaxdaw.math._laplacian import edges_of_laplacian as edges_of_laplacian
from jaxdaw.math._laplacian import nearest_neighbor_laplacian, ordinal_laplacian
from jaxdaw.math._laplacian import smoothness_penalty as smoothness_penalty
from jaxdaw.math._least_squares import linear_beliefs as linear_beliefs
from jaxdaw.math._least_squares import recursive_least_squares as recursive_least_squares
from jaxdaw.math._losses import (
    element_wise_absolute_loss,
    element_wise_huber_loss,
    element_wise_log_loss,
    element_wise_squared_loss,
    index_with_actions,
)
from jaxdaw.math._n_step import NStepReturn, n_step_return
from jaxdaw.math._off_policy import (
    clipped_scores,
    doubly_robust_scores,
    effective_sample_size,
    empirical_bernstein_radius,
    inverse_propensity_scores,
    shrunk_scores,
    switch_scores,
)
from jaxdaw.math._returns import discounted_returns, generalized_advantages
from jaxdaw.math._updates import clip_by_norm_per_variable, soft_update

__all__ = [
    "NStepReturn",
    "clip_by_norm_per_variable",
    "clipped_scores",
    "discounted_returns",
    "doubly_robust_scores",
    "effective_sample_size",
    "element_wise_absolute_loss",
    "element_wise_huber_loss",
    "element_wise_log_loss",
    "element_wise_squared_loss",
    "empirical_bernstein_radius",
    "generalized_advantages",
    "index_with_actions",
    "inverse_propensity_scores",
    "n_step_return",
    "nearest_neighbor_laplacian",
    "ordinal_laplacian",
    "project_distribution",
    "quantile_huber_loss",
    "shrunk_scores",
    "soft_update",
    "switch_scores",
]
