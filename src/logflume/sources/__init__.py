"""Where the bytes of logs lie: one backend a module."""
