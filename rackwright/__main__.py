"""``python -m rackwright``."""

from rackwright.api.cli.main import main

main()
