"""What another tool says of a driver's stack, held against the driver: sources read, matched and compared."""
