"""What scores mean for DNA."""
