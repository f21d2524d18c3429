"""A run: its config, its folder, its stages; stopped at any moment, it goes on where it was."""
