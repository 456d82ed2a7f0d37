"""Training-free fusion methods, one file a family."""
