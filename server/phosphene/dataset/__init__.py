"""The data on disk: recordings, the study's folders, and their BIDS form."""
