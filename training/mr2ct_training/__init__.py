"""mr2ct_training: the workshop that makes the networks. Needs torch: pip install 'mr2ct[training]'."""
