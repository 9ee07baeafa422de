"""``python -m amodal``: the command line."""

from __future__ import annotations

from amodal.cli import main

if __name__ == "__main__":
    main()
