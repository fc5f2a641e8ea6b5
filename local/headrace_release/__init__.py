"""What a release is made of: the images and their base, the version in every place, the changelog, the lists of what is in it."""
