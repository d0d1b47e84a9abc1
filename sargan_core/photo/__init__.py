"""Photos: file formats, metadata, the mark of an edit, and safe reading and writing of files."""
