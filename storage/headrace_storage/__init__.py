"""Objects in buckets and folders, for every program: listing, pulling, writing, retrying. No torch, no Kubernetes."""
