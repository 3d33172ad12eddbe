"""Tables, figures and sentences from result frames; nothing is trained, coded or measured here."""
