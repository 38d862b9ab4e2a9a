"""IAP TCP forwarding: bytes of a client in a WebSocket become a TCP connection to a virtual machine."""
