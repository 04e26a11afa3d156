"""`python -m nasarch` is the command `nasarch`."""

import sys

from nasarch.cli import main

sys.exit(main())
