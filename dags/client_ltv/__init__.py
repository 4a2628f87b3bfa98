"""Client lifetime value from purchase histories: data, features, models, evaluation.

Plain Python without Airflow or Model Envelope, as a team's own package would be. It
travels with the models that are saved from it.
"""
