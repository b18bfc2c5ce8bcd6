"""What the published chapters' functions do, in terms of the rooms.

Notebooks import them from ``dldna.chapter_04`` and ``dldna.chapter_05``.
"""
