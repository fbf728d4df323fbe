"""The emulated kernel: the export table, calling conventions and the stubs behind imports."""
