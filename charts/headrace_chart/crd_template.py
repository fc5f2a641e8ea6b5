"""The CustomResourceDefinition as a template of the chart.

Helm installs a CRD from its own folder for CRDs once and never updates it; every upgrade updates a template.
"""

from typing import Final

import yaml

from headrace_api.crd import custom_resource_definition

_HEAD: Final = """\
{{{{- /* Generated from headrace_api by `make manifests`. Change the models, not this file. */ -}}}}
{{{{- if .Values.crds.enabled }}}}
apiVersion: {api_version}
kind: {kind}
metadata:
  name: {name}
  labels:
    {{{{- include "headrace.labels" . | nindent 4 }}}}
  {{{{- if .Values.crds.keep }}}}
  annotations:
    # `helm uninstall` keeps it, and so keeps every TrainingJob.
    helm.sh/resource-policy: keep
  {{{{- end }}}}
"""
_FOOT: Final = "{{- end }}\n"


def crd_template() -> str:
    """The template, with escapes where Helm would take a description for its own language."""
    definition = custom_resource_definition()
    head = _HEAD.format(api_version=definition["apiVersion"], kind=definition["kind"], name=definition["metadata"]["name"])
    return head + escaped(yaml.safe_dump({"spec": definition["spec"]}, sort_keys=False, width=120)) + _FOOT


def escaped(text: str) -> str:
    """Text that Helm renders back to the original."""
    return text.replace("{{", '{{ "{{" }}')
