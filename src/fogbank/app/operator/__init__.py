"""The operator's API, a module a topic: its class has ``routes`` and holds what it answers from."""
