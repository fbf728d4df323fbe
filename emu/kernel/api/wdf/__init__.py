"""The Kernel-Mode Driver Framework: what stands behind the function table that WdfVersionBind hands out."""
