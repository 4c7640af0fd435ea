"""All patients' scores as tables, and the few numbers that a run is judged by."""
