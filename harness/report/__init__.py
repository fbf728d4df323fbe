"""One module a report format; reports read results and never compute."""
