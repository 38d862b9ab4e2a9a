"""Cloud Run's jobs: containers that run to an end; an execution runs a job once, in one or more tasks.

Both APIs work on one store, as for services: v1's objects are kept, v2 is rendered from them and parsed into
them. The control loop tells how tasks fare through ``convergence``.
"""
