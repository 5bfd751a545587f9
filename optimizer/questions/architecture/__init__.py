"""Which architecture? One model, free or published, on one replica of one chip."""
