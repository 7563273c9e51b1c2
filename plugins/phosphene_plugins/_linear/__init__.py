"""What the linear decoders share: features of an epoch, then a softmax of linear scores."""
