"""What kernel functions do: one module a family, joined in `emu.kernel.families`."""
