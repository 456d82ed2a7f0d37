"""``python -m fusionbench`` is the command ``fusionbench``."""

from fusionbench.cli import main

main(prog_name="fusionbench")
