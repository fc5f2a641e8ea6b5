"""The process node: a Kubernetes node without containers, root or a virtual machine.

`python -m headrace_local.node` registers a Node with the given resources, keeps it Ready, and runs every pod that the
scheduler binds to it as local processes. It reports what a kubelet would report.

How a pod goes through the files:

    agent.py         watch pods bound to this node, one PodRunner each
    pod_runner.py    a pod's life: admission, address, volumes, containers, ending and reporting the end
    container_runner.py   a container's life: image, environment, process, probes, restarts
    pod_context.py   what its containers share: folder, address, volumes
    container_setup.py    turns a container's spec into a command
    processes.py     asks container_init.py for processes and learns how they end
    container_init.py     the parent of one container's processes (what containerd-shim is to a kubelet)
    environment.py volumes.py paths.py images.py    what a container gets, pure
    probes.py        startup, readiness and liveness
    status.py        from records to PodStatus, pure;  status_writer.py sends it to the API server
    container_logs.py logs_server.py    log files in the kubelet's format, and `kubectl logs`
    registration.py  the Node object, its heartbeats and Lease
    addresses.py devices.py admission.py    addresses, GPUs, refusals
    launch.py        starts a node for an embedded cluster

Differences from a kubelet, all of them:

* Containers share the machine's file system, users and network. Each pod still has its own address in
  127.0.0.0/8, which its servers must bind to (`status.podIP` through a fieldRef).
* There is no mount namespace. If a word of `command` or `args`, or an environment value, equals a `mountPath` or the
  `terminationMessagePath` or is below one, the node rewrites it to the path in the pod's folder.
* `securityContext`, `limits.cpu` and read-only mounts are accepted but not enforced; `limits.memory` is enforced.
* Service addresses are not routed, so KUBERNETES_SERVICE_HOST and similar variables are not set.
* Projected files (secrets, annotations, tokens) are written once, when the pod starts.
"""
