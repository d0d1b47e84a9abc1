"""The pixel model: its network, its file, its fit."""
