"""The host's own processor as an oracle: a confined 32-bit process that runs code one instruction at a time."""
