"""The Logging query language: a text in, a test of entries out (behaviour/logging.md#query-language).

``tokens`` cuts the text up, ``parse`` makes a tree of it, ``compare`` says what one comparison means,
``compile`` makes a function of the tree and finds what the store can look up by itself.
"""
