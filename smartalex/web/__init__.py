"""What the outside may ask over HTTP: metrics and health."""
