"""What follows from evidence: pure functions, no I/O, time comes in as an argument."""
