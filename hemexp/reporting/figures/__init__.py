"""The figures, a module of its name each, whose `draw(reader, settings)` reads and draws it."""
