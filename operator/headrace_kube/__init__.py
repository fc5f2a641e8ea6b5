"""The one way to a Kubernetes API server: for the operator, the process node and the local cluster.

`connection.py` finds the server and keeps the credentials fresh, with the configuration of the `kubernetes` package. `client.py`
sends requests through that package's asyncio client, with plain JSON in and out. The package's typed models are not used: parsing
answers into them costs time, and the callers want JSON.
"""
