"""A static page on which a browser solves puzzles with a trained model: ``trm page``."""
