"""How good synthetic CTs are, measured against real ones of the same patients: mr2ct-evaluate."""
