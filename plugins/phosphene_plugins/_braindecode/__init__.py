"""The work of the plugin ``braindecode``; only ``names`` may be imported at discovery."""
