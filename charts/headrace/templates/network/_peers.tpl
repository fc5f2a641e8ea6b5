{{- /* The `to` or `from` entries of a peer: each range of addresses, and pods by labels. */ -}}
{{- define "headrace.peers" -}}
{{- range .cidrs }}
- ipBlock: {cidr: {{ . | quote }}}
{{- end }}
{{- if or .namespaceLabels .podLabels }}
- namespaceSelector:
    matchLabels:
      {{- toYaml (.namespaceLabels | default dict) | nindent 6 }}
  podSelector:
    matchLabels:
      {{- toYaml (.podLabels | default dict) | nindent 6 }}
{{- end }}
{{- end -}}

{{- /* The `ports` entries. Arguments: ports, then protocols. */ -}}
{{- define "headrace.ports" -}}
{{- $protocols := rest . -}}
{{- range $port := first . }}
{{- range $protocols }}
- {port: {{ $port }}, protocol: {{ . }}}
{{- end }}
{{- end }}
{{- end -}}
