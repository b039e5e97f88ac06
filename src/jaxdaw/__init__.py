"""jaxdaw: train decision-making agents on JAX."""
