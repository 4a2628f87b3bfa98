"""One command that trains, predicts by Airflow and Spark, and shows that the result is right."""
