"""Bundled plugins; each module is registered by an entry point like anyone's."""
