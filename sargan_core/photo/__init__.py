"""Photos: bytes to pixels and back, metadata, provenance, files that appear whole or not at all."""
