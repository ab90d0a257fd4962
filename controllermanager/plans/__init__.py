"""What each controller decides: pure functions of a snapshot. No I/O, no clock, no randomness."""
