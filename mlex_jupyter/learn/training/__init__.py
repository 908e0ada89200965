"""Training: from labelled pixels to weights.

task      what a job asks for, and what is left        loop    labelled crops in, classes out
steps     batches in, the best weights out             course  what is trained, and who follows it
labelled  slices, labels, what is kept apart           crops   what is shown, one step's batch
state     network, mean, best, optimizer               judge   how good it is, at the end of each epoch
checkpoint  to go on as if it had never stopped        atonce  networks that learn without steps
estimating  what it would take, by a few steps         foretelling  the same, said as it begins
together  several processes, one training              inherit weights to begin with
optimizer how a step is taken
contrast  pairs of views in, an encoder out            patches   where the views are from
pretrain  the same as a job                            blocks  a labelled volume, for networks in 3-D
depth     what judges those, and is shown of them      cover   the blocks that it takes
"""
