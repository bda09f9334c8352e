"""Scores of predictions: metrics, intervals, the evaluator, error reports, plots."""
