"""Commands, one file each: the file's name is the command.

A file holds HELP (one line), `add_arguments(parser)` and `run(arguments)`, which returns the exit code.
Only argparse and this package's helpers are imported at the top: `archsat --help` must stay fast.
"""
