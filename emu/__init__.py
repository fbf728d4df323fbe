"""One driver in one emulated machine: no policy, no user interface."""
