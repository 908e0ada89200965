"""Models from elsewhere and for elsewhere: packages of bioimage.io, entries of MLExchange. Nothing in them is run."""
