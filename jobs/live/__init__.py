"""Live events: from rows to sockets, streams and long polls (design §9)."""
