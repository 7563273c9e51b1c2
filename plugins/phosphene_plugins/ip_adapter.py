"""``ip-adapter``: a picture from an image embedding."""
