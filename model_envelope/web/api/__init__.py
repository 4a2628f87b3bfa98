"""Routes, a module for each noun: `reads` for who may look, `changes` for who may change."""
