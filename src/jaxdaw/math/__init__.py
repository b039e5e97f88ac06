"""Arrays in, arrays out, one sequence or one sample at a time; `jax.vmap` gives the batch."""

from jaxdaw.math._laplacian import (
    Edges,
    edges_of_laplacian,
    nearest_neighbor_laplacian,
    ordinal_laplacian,
    smoothness_penalty,
)
from jaxdaw.math._least_squares import linear_beliefs, recursive_least_squares
from jaxdaw.math._losses import (
    element_wise_absolute_loss,
    element_wise_huber_loss,
    element_wise_log_loss,
    element_wise_squared_loss,
    index_with_actions,
)
from jaxdaw.math._returns import NStepReturn, discounted_returns, generalized_advantages, n_step_return
from jaxdaw.math._updates import clip_by_norm_per_variable, soft_update

__all__ = [
    "Edges",
    "NStepReturn",
    "clip_by_norm_per_variable",
    "discounted_returns",
    "edges_of_laplacian",
    "element_wise_absolute_loss",
    "element_wise_huber_loss",
    "element_wise_log_loss",
    "element_wise_squared_loss",
    "generalized_advantages",
    "index_with_actions",
    "linear_beliefs",
    "n_step_return",
    "nearest_neighbor_laplacian",
    "ordinal_laplacian",
    "recursive_least_squares",
    "smoothness_penalty",
    "soft_update",
]
