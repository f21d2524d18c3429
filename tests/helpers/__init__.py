"""What several test rooms share: checkpoints, data sets, runs and commands to test with."""
