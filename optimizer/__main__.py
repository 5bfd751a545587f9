"""`python -m optimizer` is `archsat`."""

import sys

from optimizer.cli import main

sys.exit(main())
