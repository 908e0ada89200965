"""Training: from labelled pixels to weights.

task      what a job asks for, and what is left        loop    crops in, the best weights out
labelled  slices, labels, what is kept apart           crops   what is shown, one step's batch
state     network, mean, best, optimizer               judge   how good it is, at the end of each epoch
checkpoint  to go on as if it had never stopped        atonce  networks that learn without steps
together  several processes, one training              inherit weights to begin with
optimizer how a step is taken
"""
