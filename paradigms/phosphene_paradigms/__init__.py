"""Paradigms and the PsychoPy screen."""
