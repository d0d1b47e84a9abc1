"""The bank of teeth that are shown between parted lips: its file and how it is made."""
