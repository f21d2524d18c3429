"""Tables, figures, pages and sentences: made from saved results, computing nothing new."""
