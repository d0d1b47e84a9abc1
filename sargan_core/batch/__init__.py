"""Many photos: which become what, what was done already, and the engines that do the rest."""
