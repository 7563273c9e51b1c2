"""The work of the plugin ``clip-retrieval``; only ``settings`` may be imported at discovery."""
