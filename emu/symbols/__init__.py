"""Functions of an image: names, extents and prototypes from PDB, COFF table, MAP file, exports and discovery."""
