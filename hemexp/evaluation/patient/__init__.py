"""One patient's drawn follow-ups and maps against what happened."""
