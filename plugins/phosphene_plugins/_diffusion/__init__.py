"""What the generators built on diffusers share."""
