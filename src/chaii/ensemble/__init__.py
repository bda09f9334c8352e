"""From finished runs to a submission: average, vote, fusion, choice of a method."""
