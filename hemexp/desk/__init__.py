"""What a person calls outside the workflow."""
