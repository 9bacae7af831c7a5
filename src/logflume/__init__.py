"""logflume: task logs that never block the writer and never exhaust the reader."""
