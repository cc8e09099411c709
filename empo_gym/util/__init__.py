"""One function per chore that has nothing to do with worlds: files, imports by name, limits of memory, messages."""
