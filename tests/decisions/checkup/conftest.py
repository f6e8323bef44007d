"""Makes `checkup_scene` and `checkup_cases` importable for the tables of this directory, which are built at import."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
