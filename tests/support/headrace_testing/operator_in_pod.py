"""What runs as the operator's image on a process node: `headrace_operator` with the pod's own account.

A process node has neither mount namespaces nor routed Services, so the operator does not find the account's folder where it
looks. The pod names the folder in SERVICE_ACCOUNT_FOLDER, which the node rewrites to the place on this machine, and the server in
API_SERVER. What the operator may then do is what the chart's roles allow that account.
"""

import os
import sys
from pathlib import Path

from headrace_local.kubeconfig import token_user, write_kubeconfig

if __name__ == "__main__":
    account = Path(os.environ["SERVICE_ACCOUNT_FOLDER"])
    user = token_user((account / "token").read_text())
    os.environ["KUBECONFIG"] = str(write_kubeconfig(Path.cwd() / "kubeconfig", os.environ["API_SERVER"], account / "ca.crt", user))
    os.execv(sys.executable, [sys.executable, "-m", "headrace_operator", *sys.argv[1:]])
