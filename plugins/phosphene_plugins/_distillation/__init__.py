"""What the decoders that train networks share; only ``settings`` may be imported at discovery."""
