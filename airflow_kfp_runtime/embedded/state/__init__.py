"""What the embedded server keeps, in SQLite: rows, their tables, and the store that reads and writes them."""
