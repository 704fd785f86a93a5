"""Tables, the pipeline of writes, and migrations."""
