"""One module a command, imported when it is typed; each has a click command called ``command``."""
