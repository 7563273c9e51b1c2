"""What a recording is worth: splits, metrics, evaluation, report."""
