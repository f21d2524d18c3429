"""A run: its config, its folder, its stages; stopped at any moment, it resumes where it was."""
