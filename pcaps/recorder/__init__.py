"""Records the captures beside it from real servers and clients, in network namespaces of its own."""
