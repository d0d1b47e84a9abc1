"""The expression models behind one interface."""
