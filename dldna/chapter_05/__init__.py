"""Import paths of the published chapter 5, kept for existing notebooks.

The work stands in the topic rooms; each module here says where.
"""
