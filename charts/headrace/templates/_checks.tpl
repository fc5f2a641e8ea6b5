{{- /*
What values must be together; values.schema.json says what each may be alone. Included by the Deployment, which is always rendered,
and by nothing else. Each message names the values, and what would be right.
*/ -}}
{{- /* How long a duration of Prometheus is, such as 1m30s. */ -}}
{{- define "headrace.milliseconds" -}}
{{- $total := 0 -}}
{{- range $unit, $milliseconds := dict "h" 3600000 "m" 60000 "s" 1000 "ms" 1 -}}
{{- /* `m` is not the beginning of `ms`. */ -}}
{{- $number := regexFind (printf "[0-9]+%s([0-9]|$)" $unit) $ | regexFind "^[0-9]+" | default "0" | atoi -}}
{{- $total = add $total (mul $number $milliseconds) -}}
{{- end -}}
{{ $total }}
{{- end -}}

{{- define "headrace.checks" -}}
{{- $v := .Values -}}

{{- /* Images */ -}}
{{- if and (not $v.images.repository) (not (and $v.images.operator $v.images.trainer)) -}}
{{- fail "images.repository is not set: say where the images were pushed to (--set images.repository=registry.example/team), or name both in full with images.operator and images.trainer" -}}
{{- end -}}

{{- /* What the operator is told */ -}}
{{- $s := $v.operator.settings -}}
{{- if and $s.backoffBase $s.backoffCap (lt (float64 $s.backoffCap) (float64 $s.backoffBase)) -}}
{{- fail (printf "operator.settings.backoffCap (%v) must be at least operator.settings.backoffBase (%v)" $s.backoffCap $s.backoffBase) -}}
{{- end -}}
{{- $seen := dict -}}
{{- range $v.operator.extraEnv -}}
{{- if hasPrefix "HEADRACE_" .name -}}
{{- fail (printf "operator.extraEnv sets %s: that is a setting, set its value instead (operator.settings, or the table in the chart's README)" .name) -}}
{{- end -}}
{{- if hasKey $seen .name -}}
{{- fail (printf "operator.extraEnv sets %s twice" .name) -}}
{{- end -}}
{{- $_ := set $seen .name true -}}
{{- end -}}
{{- range $key, $_ := fromYaml (include "headrace.selector" $) -}}
{{- if hasKey $v.operator.podLabels $key -}}
{{- fail (printf "operator.podLabels sets %s: the Deployment selects its pods by it" $key) -}}
{{- end -}}
{{- end -}}

{{- /* Whom it acts as */ -}}
{{- if and (not $v.serviceAccount.create) (not $v.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false and serviceAccount.name is empty: name the account that the operator shall act as" -}}
{{- end -}}

{{- /* The CustomResourceDefinition */ -}}
{{- if and (not $v.crds.enabled) (not $v.crds.keep) -}}
{{- fail "crds.keep is false and crds.enabled is false: this release has no CustomResourceDefinition that it could remove; leave crds.keep at true" -}}
{{- end -}}
{{- /*
Whether this release made the definition, and not to be kept, is told by its own Deployment: whoever upgrades may read that. To look at the
definition would need a permission in the whole cluster, and Helm takes a 403 for the end of everything.
*/ -}}
{{- if and .Release.IsUpgrade (not $v.crds.enabled) -}}
{{- range (lookup "apps/v1" "Deployment" .Release.Namespace "").items -}}
{{- $notes := .metadata.annotations | default dict -}}
{{- if and (eq (get $notes "meta.helm.sh/release-name") $.Release.Name) (eq (get $notes "headrace.dev/definition") "goes-with-the-release") -}}
{{- fail "crds.enabled=false would delete the CustomResourceDefinition that this release installed with crds.keep=false, and with it every TrainingJob: first upgrade with crds.enabled=true and crds.keep=true" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Prometheus */ -}}
{{- $m := $v.metrics -}}
{{- range $name := list "serviceMonitor" "podMonitor" -}}
{{- $monitor := index $m $name -}}
{{- if gt (include "headrace.milliseconds" $monitor.scrapeTimeout | atoi) (include "headrace.milliseconds" $monitor.interval | atoi) -}}
{{- fail (printf "metrics.%s.scrapeTimeout (%s) must be at most metrics.%s.interval (%s): Prometheus refuses it otherwise, with all that it scrapes" $name $monitor.scrapeTimeout $name $monitor.interval) -}}
{{- end -}}
{{- end -}}
{{- if and $m.serviceMonitor.enabled (not $m.service.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled needs metrics.service.enabled: a ServiceMonitor finds the operator through its Service" -}}
{{- end -}}
{{- if and $m.rules.enabled (not (and $m.serviceMonitor.enabled $m.podMonitor.enabled)) -}}
{{- fail "metrics.rules.enabled needs metrics.serviceMonitor.enabled and metrics.podMonitor.enabled: without what they scrape one alert would always fire and the others never" -}}
{{- end -}}

{{- /* NetworkPolicies */ -}}
{{- $n := $v.networkPolicies -}}
{{- if $n.enabled -}}
{{- if not $n.storage -}}
{{- fail "networkPolicies.enabled needs networkPolicies.storage: without the addresses of the object storage no trainer would reach its dataset; for example [{cidrs: [10.1.2.3/32], ports: [443]}]" -}}
{{- end -}}
{{- range $i, $destination := $n.storage -}}
{{- if not (or $destination.cidrs $destination.namespaceLabels $destination.podLabels) -}}
{{- fail (printf "networkPolicies.storage[%d] names nobody: give it cidrs, or namespaceLabels or podLabels" $i) -}}
{{- end -}}
{{- end -}}
{{- range $name := list "prometheus" "dns" "apiServer" -}}
{{- $peer := index $n $name -}}
{{- if not (or $peer.cidrs $peer.namespaceLabels $peer.podLabels) -}}
{{- fail (printf "networkPolicies.%s names nobody: give it cidrs, or namespaceLabels or podLabels" $name) -}}
{{- end -}}
{{- end -}}
{{- if not (or $n.jobNamespaces $v.watchNamespaces) -}}
{{- fail "networkPolicies.enabled needs networkPolicies.jobNamespaces or watchNamespaces: a NetworkPolicy lies in the namespace of the pods it is for" -}}
{{- end -}}
{{- if $v.watchNamespaces -}}
{{- range $n.jobNamespaces -}}
{{- if not (has . $v.watchNamespaces) -}}
{{- fail (printf "networkPolicies.jobNamespaces has %s, which watchNamespaces has not: no job of it is run" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
