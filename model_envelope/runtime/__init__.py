"""What runs inside a model's own environment.

These modules need the standard library and pyarrow only: they travel as one
small archive to Spark executors, isolated processes and services. `bundle` is
the only module of the project that unpickles anything.
"""
