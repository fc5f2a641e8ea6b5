"""Makes releases: the images and their base, the version in every place, the changelog, the inventories."""
