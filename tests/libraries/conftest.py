"""The real packages beside ours; a test is skipped where its one is missing.

``make test`` does not need them. Install what you want to try without another
torch, as by ``pip install --no-deps curvlinops-for-pytorch``.
"""
