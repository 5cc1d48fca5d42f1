"""What the interoperability tests, the demonstration and the socket benchmark have in common."""
