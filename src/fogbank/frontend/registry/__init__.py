"""The registry of Docker images: the protocol that docker and others speak to pkg.dev and gcr.io.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""
