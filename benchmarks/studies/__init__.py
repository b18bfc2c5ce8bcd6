"""Networks trained to their end: one long queue that can always go on.

    python -m benchmarks.studies            # train what is left
    python -m benchmarks.studies --list     # what is left, and how long

See ``benchmarks/studies/README.md``.
"""
