"""The core's messages, one file a language, one line a message, sorted by id."""
