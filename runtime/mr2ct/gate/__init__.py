"""The gate: what a model cannot judge, because it was trained on nothing like it, is refused before it runs."""
