"""The command `satstudy`."""
