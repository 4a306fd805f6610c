"""Ways to train a sparse coder: one file each, named in `brainalign.sae.variants.known`."""
