"""The Kubernetes client of the operator, the process node and the local cluster.

`connection.py` uses the `kubernetes` package's configuration to find the server and keep the credentials fresh. `client.py` sends
requests through that package's asyncio client, with plain JSON in and out. It does not use the package's typed models: parsing
responses into them costs time, and the callers want JSON.
"""
