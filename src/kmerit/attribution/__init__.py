"""Attribution: one pass over a model, the scores of many methods."""
