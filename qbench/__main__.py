"""``python -m qbench`` is ``qbench``."""

from qbench.cli.main import main

main()
