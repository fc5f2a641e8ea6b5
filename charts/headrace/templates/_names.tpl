{{- /* Names, labels and images. */ -}}

{{- /* Starts with a letter: the name of a Service must, the name of a release need not. */ -}}
{{- define "headrace.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if regexMatch "^[0-9]" .Release.Name -}}
{{ printf "%s-%s" .Chart.Name .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "headrace.operator" -}}
{{ include "headrace.fullname" . }}-operator
{{- end -}}

{{- /* The Lease of this release's leader: two releases in one namespace must not share it. */ -}}
{{- define "headrace.lease" -}}
{{ include "headrace.operator" . }}.headrace.dev
{{- end -}}

{{- define "headrace.account" -}}
{{ .Values.serviceAccount.name | default (include "headrace.operator" .) }}
{{- end -}}

{{- define "headrace.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "headrace.labels" -}}
{{ include "headrace.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{- /* Arguments: the root, "operator" or "trainer". */ -}}
{{- define "headrace.image" -}}
{{- $root := index . 0 -}}
{{- $program := index . 1 -}}
{{- $images := $root.Values.images -}}
{{- if index $images $program -}}
{{ index $images $program }}
{{- else -}}
{{ printf "%s/headrace-%s:%s" (trimSuffix "/" $images.repository) $program ($images.tag | default $root.Chart.AppVersion) }}
{{- end -}}
{{- end -}}

{{- /* Every pod that runs a TrainingJob. */ -}}
{{- define "headrace.trainerSelector" -}}
matchLabels:
  app.kubernetes.io/managed-by: headrace
matchExpressions:
  - {key: headrace.dev/job, operator: Exists}
{{- end -}}
