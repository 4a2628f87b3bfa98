"""Programs that Spark runs, inside the model's own environment."""
