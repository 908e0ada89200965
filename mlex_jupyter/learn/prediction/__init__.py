"""Prediction: from a volume to class values, and how sure they are.

task       what a job asks for, band by band            bands      which slices together, in which order
segmenter  a network at work on slices                  tiles      slices in pieces, exactly as in one
backends   what computes it quickest                    decide     the class of a pixel, and how sure
pipeline   reading, computing, writing at once          ledger     which bands are whole
levels     OME-NGFF volumes, written slice by slice     tally, objects  how much there is, in how many pieces
outputs    the volumes and datasets that it leaves      memory     how much is computed at once
computing  a band, and less at once if it must be       slabs      the same of networks in 3-D
suggesting which slices to label next                   room       how much memory those take
"""
