"""What the decoders on spectrograms share; only ``settings`` may be imported at discovery."""
