"""One module a command; `stackemu.harness.cli` assembles them."""
