"""Many volumes by one engine, with a manifest that says what became of each."""
