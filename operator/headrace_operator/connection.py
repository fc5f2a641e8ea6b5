"""Gives kopf the credentials that our own requests use."""

import kopf

from headrace_kube.connection import connect


async def login() -> kopf.ConnectionInfo:
    """Returns fresh credentials. kopf calls this when it starts and whenever the API server rejects the ones it has.

    Raises:
        NoClusterError: there are none.
    """
    connection = await connect()
    configuration = connection.configuration
    scheme, _, token = (await connection.authorization() or "").partition(" ")
    return kopf.ConnectionInfo(
        server=connection.server,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        proxy_url=configuration.proxy,
    )
