"""Access to object storage: the Secret that a job names."""

from pydantic import Field

from headrace_api.fields import Model


class SecretRef(Model):
    """A Secret in the job's namespace."""

    name: str = Field(min_length=1, max_length=253, description="Name of the Secret.")


class Storage(Model):
    """How to reach the object storage."""

    secret_ref: SecretRef = Field(
        description="Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, outside AWS, AWS_ENDPOINT_URL and AWS_REGION."
    )
