"""Loading models; families, tokenisers, the encoder and its rule books."""
