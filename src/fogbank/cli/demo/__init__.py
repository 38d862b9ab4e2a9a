"""Articles as demos: the same steps by gcloud, by Google's Python clients or by plain HTTPS.

`steps` holds them as values, `callers` the three ways to do one, `stage` shows them, and each article is a
module that tells its story.
"""
