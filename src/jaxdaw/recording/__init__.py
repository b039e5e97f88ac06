"""Episodes of a policy or a person as demonstrations, as a GIF or MP4, or in a window."""

from jaxdaw.recording._demonstrate import record_demonstrations
from jaxdaw.recording._human import record_human
from jaxdaw.recording._record import play, record

__all__ = ["play", "record", "record_demonstrations", "record_human"]
