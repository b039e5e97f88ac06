"""`python -m jaxdaw` is `jaxdaw`."""

import sys

from jaxdaw.cli import main

if __name__ == "__main__":
    sys.exit(main())
