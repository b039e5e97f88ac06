from jaxdaw.distributions._interim import *  # noqa
