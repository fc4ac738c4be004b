"""Run as a module, or by path from wherever the project itself cannot be imported."""

import importlib
import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

sys.exit(importlib.import_module(f"{__package__ or 'payments'}.server").main())
