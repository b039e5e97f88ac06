from jaxdaw.specs._interim import *  # noqa
from jaxdaw.specs._interim import StepType
