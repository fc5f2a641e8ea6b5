"""Objects in buckets and folders, for all programs: listing, pulling, writing, retrying. No torch, no Kubernetes."""
