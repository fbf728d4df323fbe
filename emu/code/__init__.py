"""Machine code read, not run: decoding, effects on the stack pointer, basic blocks, call targets."""
