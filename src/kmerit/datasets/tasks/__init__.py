"""One file per task, each with a ``TASK``; the file's name is the task's."""
