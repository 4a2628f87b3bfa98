"""What the API sends: plain data, from the records of the store, named as in the field."""
