"""Quality figures: with a reference, and without one. Pure numpy, streamed window by window."""
