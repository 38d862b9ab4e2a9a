"""Article 000 as a demo: the same six steps by gcloud, by Google's Python clients or by plain HTTPS.

`steps` holds them as values, `callers` the three ways to do one, `commands/demo.py` tells the story.
"""
