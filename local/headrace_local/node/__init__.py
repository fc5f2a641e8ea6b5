"""The process node: a Kubernetes node without containers, root or a virtual machine.

`python -m headrace_local.node` registers a Node with the resources it is told to offer, keeps it Ready, and runs
every pod the scheduler binds to it as local processes, reporting what a kubelet would report.

The way of a pod through the files:

    agent.py         watch pods bound to this node, one PodRunner each
    pod_runner.py    a pod's life: admission, address, volumes, containers, the end and its report
    container_runner.py   a container's life: image, environment, process, probes, restarts
    pod_context.py   what its containers share: folder, address, volumes;  container_setup.py   a container to a command
    processes.py     asks container_init.py for processes and hears how they end
    container_init.py     the parent of one container's processes (what containerd-shim is to a kubelet)
    environment.py volumes.py paths.py images.py    what a container is given, pure
    probes.py        startup, readiness and liveness
    status.py        records to PodStatus, pure;  status_writer.py sends it to the API server
    container_logs.py logs_server.py    log files in the kubelet's format, and `kubectl logs`
    registration.py  the Node object, its heartbeats and Lease
    api.py addresses.py devices.py admission.py    the API server, addresses, GPUs, what is refused
    launch.py        starts a node for an embedded cluster

Differences from a kubelet, all of them:

* Containers share the machine's file system, users and network. Each pod still has an address of its own in
  127.0.0.0/8, which its servers have to bind to (`status.podIP` through a fieldRef).
* There is no mount namespace. A word of `command` or `args`, or an environment value, that equals a
  `mountPath` or the `terminationMessagePath`, or lies below one, is rewritten to the path in the pod's folder.
* `securityContext`, `limits.cpu` and read-only mounts are accepted and not enforced; `limits.memory` is.
* Service addresses are not routed, so KUBERNETES_SERVICE_HOST and its like are not set.
* Projected files (secrets, annotations, tokens) are written once, when the pod starts.
"""
