"""`python -m venue` is the `venue` command."""

from __future__ import annotations

import sys

from venue.cli import main

sys.exit(main())
