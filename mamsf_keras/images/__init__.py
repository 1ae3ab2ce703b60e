"""One image file to grey pixels, and the augmentation of grey pixels."""
