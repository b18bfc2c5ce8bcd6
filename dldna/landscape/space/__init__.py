"""Where to look: directions, planes and the checkpoints that span them."""
