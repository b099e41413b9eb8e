"""YAML manifests, contracts and Python become a checked bundle; every problem is found with its place."""
