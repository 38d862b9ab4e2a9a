"""gRPC: the methods of Google's APIs for clients that speak protocol buffers over HTTP/2.

``decode`` and ``encode`` turn messages into the JSON that the APIs have and back, by the tables of
:mod:`fogbank.discovery.protos`; ``transcoding`` finds the method that an RPC is over HTTP; ``application`` is
the ASGI application. Nothing here is imported before the first call.
"""
