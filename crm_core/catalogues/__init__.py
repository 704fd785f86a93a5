"""The core's messages, and those of the command line: one file a language, one line a message, sorted by id."""
