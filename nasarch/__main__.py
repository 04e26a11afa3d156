"""`python -m nasarch` is the command `nasarch`."""

import sys

from nasarch.cli.main import main

sys.exit(main())
